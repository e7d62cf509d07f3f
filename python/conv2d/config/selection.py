"""From what the experiment says about sensors, channels or classes to names that the data set has."""

from collections.abc import Sequence
from difflib import get_close_matches

from conv2d.errors import DataError


def select_names(key: str, wanted: str | int | Sequence[str], available: Sequence[str]) -> tuple[str, ...]:
    """Return the names to use, in the order of the experiment: all, as many as counted, or those listed.

    ``key`` is "sensors", "channels" or "classes". A count only checks how many the data set has; it never chooses.
    Raises ``DataError`` where the data set does not have what the experiment expects.

    >>> select_names("sensors", 2, ["back", "neck"])
    ('back', 'neck')
    """
    listed = ", ".join(available)
    if isinstance(wanted, int):
        if wanted != len(available):
            raise DataError(
                f"the experiment says {wanted} {key}, the data set has {len(available)}: {listed}; "
                f"name the ones to use in data.{key}"
            )
        return tuple(available)
    if wanted == "all":
        return tuple(available)
    for name in wanted:
        if name not in available:
            close = get_close_matches(name, available, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"name those that it has in data.{key}"
            raise DataError(f"data.{key} names {name!r}, but the data set has {listed}; {hint}")
    return tuple(wanted)
