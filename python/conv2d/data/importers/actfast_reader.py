"""The reader of device files that is used where it is right, ``actfast``, kept at arm's length."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from conv2d.data.meta import one_line
from conv2d.errors import DataError


def read_with_actfast(part: Path, source: Path) -> dict[str, NDArray[Any]]:
    """The samples of ``part``, a small file made of pieces of ``source``: ``acceleration`` in g, and what else there
    is.

    actfast is given pieces that were checked, with a header made for them, because of what it does with others: it
    takes the scale of the first block for all, reserves as much memory as a header asks for (and ends the process
    where there is less), and reads what it cannot parse as 1970, 1 Hz or a gain of 1.

    Raises
    ------
    DataError
        E-DATA-018: actfast is not installed, or does not read the file.
    """
    try:
        import actfast
    except ImportError as error:
        raise DataError(
            f"E-DATA-018: reading {source.name} takes the package actfast, which is not installed; "
            "pip install 'conv2d[devices]'"
        ) from error
    try:
        tables: Mapping[str, Any] = actfast.read(part)["timeseries"]
    except BaseException as error:
        # A panic of Rust comes as an exception that derives from BaseException alone.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise DataError(
            f"E-DATA-018: actfast cannot read {source} ({one_line(error)}); download it from the device again"
        ) from error
    table: dict[str, NDArray[Any]] = dict(tables.get("high_frequency", {}))
    if not len(table.get("acceleration", ())):
        raise DataError(f"E-DATA-018: actfast finds no acceleration in {source}; download it from the device again")
    return table
