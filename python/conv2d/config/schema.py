"""What the experiment file may hold, read off the models: the keys of each block and the values each key allows."""

from difflib import get_close_matches
from functools import cache
from typing import Any

from conv2d.config.experiment import Config
from conv2d.config.yaml_lines import Place


def keys(place: Place = ()) -> tuple[str, ...]:
    """Return the keys of the block at a place, none where there is no block.

    >>> keys(("model", "architecture", "quantization"))
    ('type', 'levels', 'positions', 'embedding_dim')
    """
    return tuple(dict.fromkeys(key for schema in _schemas(place) for key in schema.get("properties", ())))


@cache
def dotted_keys() -> tuple[str, ...]:
    """Return every key of the file by its dotted path, blocks before what they hold."""

    def below(place: Place) -> list[Place]:
        return [found for key in keys(place) for found in ((*place, key), *below((*place, key)))]

    return tuple(".".join(map(str, place)) for place in below(()))


def allowed(place: Place) -> str:
    """Say in words what may stand at a place.

    >>> allowed(("data", "label_rule"))
    "'centre', 'majority' or 'pure'"
    >>> allowed(("model", "architecture", "quantization", "levels", 1))
    'a whole number from 2 to 255'
    """
    return " or ".join(dict.fromkeys(_words(schema) for schema in _schemas(place))) or "nothing"


def nearest(key: str, place: Place) -> str:
    """Say which key was probably meant by an unknown one in the block at a place: the rest of a sentence.

    >>> nearest("level", ("model", "architecture", "quantization"))
    "did you mean 'levels'?"
    >>> nearest("levels", ())
    "did you mean 'model.architecture.quantization.levels'?"
    """
    here = keys(place)
    if close := get_close_matches(key, here, n=1):
        return f"did you mean {close[0]!r}?"
    elsewhere = [dotted for dotted in dotted_keys() if dotted.endswith(f".{key}")]
    if elsewhere:
        return f"did you mean {elsewhere[0]!r}?"
    return f"expected one of {', '.join(here)}"


def advice(place: Place, value: Any) -> str:
    """Say what was probably meant by a value that is not allowed at a place: the end of a sentence, or nothing.

    >>> advice(("data", "label_rule"), "center")
    "; did you mean 'centre'?"
    >>> advice(("data", "test_subjects", 0), 16)
    "; put it in quotes: '16'"
    """
    schemas = _schemas(place)
    if isinstance(value, str):
        choices = [choice for schema in schemas for choice in schema.get("enum", [schema.get("const", "")])]
        close = get_close_matches(value, choices, n=1)
        return f"; did you mean {close[0]!r}?" if close else ""
    if isinstance(value, int | float) and any(_words(schema) == "text" for schema in schemas):
        return f"; put it in quotes: '{value}'"
    return ""


@cache
def _root() -> dict[str, Any]:
    return Config.model_json_schema()


def _schemas(place: Place) -> list[dict[str, Any]]:
    """Return the alternatives that the models know for a place."""
    found = _alternatives(_root())
    for step in place:
        inner = [
            schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step) for schema in found
        ]
        found = [alternative for schema in inner if schema for alternative in _alternatives(schema)]
    return found


def _alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in schema:
        return _alternatives(_root()["$defs"][schema["$ref"].rpartition("/")[2]])
    # A reference beside a default stands in an "allOf" of one in the schemas of older versions of pydantic.
    if options := schema.get("anyOf") or schema.get("allOf"):
        return [alternative for option in options for alternative in _alternatives(option)]
    return [schema]


def _words(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        *most, last = map(repr, schema["enum"])
        return f"{', '.join(most)} or {last}"
    match schema.get("type"):
        case "integer":
            return f"a whole number{_range(schema)}"
        case "number":
            return f"a number{_range(schema)}"
        case "string" if schema.get("format") == "path":
            return "a path"
        case "string" if "pattern" in schema:
            return "a name of letters, digits, '_', '.' and '-'"
        case "string":
            return "text"
        case "boolean":
            return "true or false"
        case "array":
            entries = " or ".join(_plural(_words(inner)) for inner in _alternatives(schema["items"]))
            return f"a {'non-empty ' if schema.get('minItems') else ''}list of {entries}"
        case "object":
            return f"a block with the keys {', '.join(schema['properties'])}"
    return "null"


def _plural(words: str) -> str:
    return words.replace("a whole number", "whole numbers").replace("a block", "blocks").replace("text", "names")


def _range(schema: dict[str, Any]) -> str:
    """Say in words what numbers are allowed. A range of the models with an upper end has a lower one."""
    upper = ""
    if "maximum" in schema:
        upper = f"to {_number(schema['maximum'])}"
    elif "exclusiveMaximum" in schema:
        upper = f"below {_number(schema['exclusiveMaximum'])}"
    if "minimum" in schema:
        lower = _number(schema["minimum"])
        if not upper:
            return f" of at least {lower}"
        return f" from {lower} {upper if upper.startswith('to') else f'to {upper}'}"
    if "exclusiveMinimum" in schema:
        lower = _number(schema["exclusiveMinimum"])
        return f" above {lower}" + (f" and {upper.replace('to', 'up to')}" if upper else "")
    return ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)
