"""A result as a table, for whichever library reads it on."""

import importlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.errors import UsageError


class Table:
    """Named columns of one length; made by the package, read by pandas, polars, arrow and xarray.

    It speaks arrow's C stream, so ``polars.DataFrame(table)``, ``pyarrow.table(table)`` and ``duckdb`` take it as it
    is. Text without value is null (None), a number without value NaN or null.

    Example
    -------
    >>> import pyarrow
    >>> table = Table(pyarrow.table({"label": ["walk", None], "start_s": [0.0, 1.5]}))
    >>> table.columns, len(table), table["start_s"].tolist()
    (('label', 'start_s'), 2, [0.0, 1.5])
    >>> table.to_pandas().shape
    (2, 2)
    """

    def __init__(self, arrow: Any) -> None:
        """``arrow`` is a pyarrow table."""
        self._arrow = arrow

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self._arrow.column_names)

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._arrow.num_rows)

    def __repr__(self) -> str:
        return f"Table of {len(self)} rows: {', '.join(self.columns)}"

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Values of a column, (rows,); KeyError where there is none of this name."""
        if column not in self._arrow.column_names:
            raise KeyError(f"the table has no column {column!r}, it has {', '.join(self.columns)}")
        values: NDArray[Any] = self._arrow[column].to_numpy()
        return values

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Hand the columns to another library without copying them."""
        return self._arrow.__arrow_c_stream__(requested_schema)

    def to_arrow(self) -> Any:
        """As a ``pyarrow.Table``."""
        return self._arrow

    def to_pandas(self) -> Any:
        """As a ``pandas.DataFrame``; UsageError E-API-010 where pandas is not installed."""
        library("pandas", "to_pandas")
        return self._arrow.to_pandas()

    def to_polars(self) -> Any:
        """As a ``polars.DataFrame``; UsageError E-API-010 where polars is not installed."""
        return library("polars", "to_polars").from_arrow(self._arrow)

    def to_xarray(self) -> Any:
        """As an ``xarray.Dataset``, a variable a column along the dimension ``row``; text without value is ``""``.

        UsageError E-API-010 where xarray is not installed.
        """
        xarray = library("xarray", "to_xarray")
        return xarray.Dataset({name: ("row", _filled(self[name])) for name in self.columns})


def _filled(values: NDArray[Any]) -> NDArray[Any]:
    """Text with ``""`` for None."""
    return values if values.dtype != object else text_array(values.tolist())


def text_array(words: Iterable[str | None]) -> NDArray[np.object_]:
    """Text as objects, ``""`` for None: what every engine of xarray's ``to_netcdf`` writes."""
    return np.array(["" if word is None else str(word) for word in words], dtype=object)


def library(name: str, verb: str) -> Any:
    """Import an optional library; UsageError E-API-010 says what needs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"E-API-010: {verb} needs {name}, which is not installed; install it with pip install 'conv2d[data]'"
        ) from error
