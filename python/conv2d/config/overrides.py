"""Overrides ``key=value`` from the command line: a dotted path that the experiment knows and a value in YAML."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from conv2d.config import schema
from conv2d.config.yaml_lines import LineError, parse
from conv2d.errors import ConfigError


@dataclass(frozen=True)
class Override:
    """One override: the text as it was given, the place of its key and the value."""

    text: str
    place: tuple[str, ...]
    value: Any

    def put(self, values: dict[str, Any]) -> None:
        """Set the value in plain values, making the blocks that lead to it where they are missing."""
        *blocks, key = self.place
        for block in blocks:
            inner = values.get(block)
            values[block] = dict(inner) if isinstance(inner, dict) else {}
            values = values[block]
        values[key] = self.value


def parse_override(text: str) -> Override:
    """Read one override.

    Raises ``ConfigError`` where there is no ``=``, the key is not a full dotted path, or the value is not YAML.

    >>> parse_override("model.architecture.quantization.levels=[8, 6, 5]").value
    [8, 6, 5]
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"override {text!r}: expected key=value, such as training.epochs=10")
    known = schema.dotted_keys()
    if key not in known:
        ends = [dotted for dotted in known if dotted.endswith(f".{key}")]
        close = ends or get_close_matches(key, known, n=1) or _by_last_part(key)
        hint = f"did you mean {close[0]!r}?" if close else f"expected a dotted path that begins with {_roots()}"
        raise ConfigError(f"override {text!r}: unknown key {key}; {hint}")
    try:
        parsed, _ = parse(value)
    except LineError as error:
        raise ConfigError(f"override {text!r}: {error}") from error
    return Override(text, tuple(key.split(".")), parsed)


def _by_last_part(key: str) -> list[str]:
    last = {dotted.rpartition(".")[2]: dotted for dotted in reversed(schema.dotted_keys())}
    return [last[name] for name in get_close_matches(key.rpartition(".")[2], last, n=1)]


def _roots() -> str:
    return ", ".join(schema.keys())
