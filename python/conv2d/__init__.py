"""Motion recordings of several sensors to discrete codes, labelled timelines and honest probabilities.

``import conv2d`` is light: nothing below is imported before it is used.

>>> import conv2d
>>> conv2d.__version__.count(".")
2
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conv2d.tasks.load import load

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Resolve ``conv2d.load`` when it is first asked for: it needs the network, which takes a second to import."""
    if name == "load":
        from conv2d.tasks.load import load

        globals()["load"] = load
        return load
    raise AttributeError(f"module 'conv2d' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
