"""YAML in and out, with the line of every key, duplicate keys refused, and the scalars of YAML 1.2.

PyYAML follows YAML 1.1, in which ``1e-3`` is text, ``010`` is eight and ``no`` is false. Here a number is what it looks
like, and only ``true`` and ``false`` are truth values.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from conv2d.errors import ConfigError

Place = tuple[str | int, ...]
LARGEST_FILE = 20_000  # nodes; aliases of aliases grow without bound

_CORE = (
    ("tag:yaml.org,2002:null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"^[-+]?[0-9]{1,40}$", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as in the base class


class _Dumper(yaml.SafeDumper):
    # The reader's own rules and those of YAML 1.1: text that either reads as something else is put in quotes.
    yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeDumper.yaml_implicit_resolvers.items()}  # noqa: RUF012


for _class in (_Loader, _Dumper):
    for _tag, _pattern, _first in _CORE:
        _class.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def _short_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    """Write a list of scalars in one line and a list of blocks one below the other."""
    flow = not any(isinstance(value, dict | list) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flow)


_Dumper.add_representer(list, _short_list)


class LineError(ConfigError):
    """A fault of the text itself; ``line`` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        """Keep the line beside the message, which does not name it."""
        super().__init__(message)
        self.line = line


def parse(text: str) -> tuple[Any, dict[Place, int]]:
    """Return the value of a YAML text and the line (from 1) of each key and list entry in it.

    Raises ``LineError`` where the text is not YAML, a key stands twice or is not text, or a tag is used.

    >>> parse("a: 1e-3\\nb: {c: [no]}")
    ({'a': 0.001, 'b': {'c': ['no']}}, {('a',): 1, ('b',): 2, ('b', 'c'): 2, ('b', 'c', 0): 2})
    """
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[Place, int] = {}
        return (None if node is None else _value(node, (), lines, iter(range(LARGEST_FILE)))), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "not YAML"
        if isinstance(error, yaml.composer.ComposerError) and "another document" in problem:
            problem = "a second document begins; expected one"
        raise LineError(mark.line + 1 if mark else 1, f"not valid YAML: {problem}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise LineError(line, f"not valid YAML: the character {chr(error.character)!r} is not allowed") from error
    except RecursionError as error:
        raise LineError(1, "nested too deeply") from error
    finally:
        if loader is not None:
            loader.dispose()


def dump(values: Any) -> str:
    """Return values (of text, numbers, truth values, null, lists and dicts) as YAML that ``parse`` reads back.

    >>> print(dump({"classes": ["no", "1e3", "walk"], "hop": None}), end="")
    classes: ['no', '1e3', walk]
    hop: null
    """
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=110)


def _value(node: yaml.Node, place: Place, lines: dict[Place, int], budget: Iterator[int]) -> Any:
    if next(budget, None) is None:
        raise LineError(
            node.start_mark.line + 1, f"holds more than {LARGEST_FILE} entries; is this an experiment file?"
        )
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, lines, budget)
    if isinstance(node, yaml.SequenceNode):
        for index, entry in enumerate(node.value):
            lines[(*place, index)] = entry.start_mark.line + 1
        return [_value(entry, (*place, index), lines, budget) for index, entry in enumerate(node.value)]
    return _scalar(node)


def _mapping(node: yaml.MappingNode, place: Place, lines: dict[Place, int], budget: Iterator[int]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            got = repr(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "that is a list or a block"
            raise LineError(line, f"the key {got} is not text; expected a name")
        if key in values:
            dotted = ".".join(map(str, (*place, key)))
            raise LineError(line, f"duplicate key {dotted}; it stands in line {lines[(*place, key)]} already")
        lines[(*place, key)] = line
        values[key] = _value(value_node, (*place, key), lines, budget)
    return values


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    match node.tag.removeprefix("tag:yaml.org,2002:"):
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text)
        case "float":
            return float(re.sub(r"\.(?=[a-z])", "", text.lower()))
        case "str":
            return text
    raise LineError(
        node.start_mark.line + 1, f"the tag {node.tag!r} is not allowed; write plain text, numbers and lists"
    )
