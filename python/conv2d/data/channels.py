"""Channels by their names: which of them are the axes of one vector."""

from collections.abc import Sequence


def triads(channels: Sequence[str]) -> list[tuple[str, tuple[int, int, int]]]:
    """Channels that are the three axes of one vector: ``acc_x, acc_y, acc_z`` make the triad ``acc``.

    Returns the name and the three indices of each triad, in the order of its x axis. A name without all three axes
    is no triad.

    >>> triads(["acc_x", "acc_y", "acc_z", "gyr_x", "temperature"])
    [('acc', (0, 1, 2))]
    """
    position = {name: index for index, name in enumerate(channels)}
    found = []
    for name in channels:
        stem = name.removesuffix("_x")
        if stem != name and f"{stem}_y" in position and f"{stem}_z" in position:
            found.append((stem, (position[name], position[f"{stem}_y"], position[f"{stem}_z"])))
    return found
