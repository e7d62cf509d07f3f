"""Motion recordings of several sensors to discrete codes, labelled timelines and honest probabilities.

``import conv2d`` is light: nothing below is imported before it is used.

>>> import conv2d
>>> conv2d.__version__.count(".")
2
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conv2d.data.dataset import Dataset
    from conv2d.data.interchange.recording_tables import from_table, to_table
    from conv2d.data.interchange.window_arrays import cut_windows
    from conv2d.data.interchange.xarray_arrays import from_xarray, to_xarray
    from conv2d.data.recording import Recording
    from conv2d.tasks.behavior.classifier import Conv2dClassifier
    from conv2d.tasks.load import load

__version__ = "0.1.0"
__all__ = [
    "Conv2dClassifier",
    "Dataset",
    "Recording",
    "__version__",
    "cut_windows",
    "from_table",
    "from_xarray",
    "load",
    "to_table",
    "to_xarray",
]
# Resolved when they are first asked for: networks take a second to import, tables need pyarrow.
_HOMES = {
    "Conv2dClassifier": "conv2d.tasks.behavior.classifier",
    "Dataset": "conv2d.data.dataset",
    "Recording": "conv2d.data.recording",
    "cut_windows": "conv2d.data.interchange.window_arrays",
    "from_table": "conv2d.data.interchange.recording_tables",
    "from_xarray": "conv2d.data.interchange.xarray_arrays",
    "load": "conv2d.tasks.load",
    "to_table": "conv2d.data.interchange.recording_tables",
    "to_xarray": "conv2d.data.interchange.xarray_arrays",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        globals()[name] = getattr(import_module(_HOMES[name]), name)
        return globals()[name]
    raise AttributeError(f"module 'conv2d' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
