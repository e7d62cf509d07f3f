"""YAML that people write, read so that whatever stands in it ends in a value or in one kind of error."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import yaml

_MOST_VALUES = 100_000  # with aliases followed: a few lines can unfold to more than memory holds


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, None where it is empty. Keys are text as they are written: ``null``, ``yes`` and 1 too.

    Raises
    ------
    ValueError
        No YAML, a key twice in one group (which YAML forbids and most readers pass over), a value that is not of its
        tag, or more than 100,000 values; the message names lines.

    >>> parse_yaml("a: [1, yes]")
    {'a': [1, True]}
    >>> parse_yaml("null: [x]\\nyes: null\\n1: a")
    {'null': ['x'], 'yes': None, '1': 'a'}
    >>> parse_yaml("a: 1\\nb: 2\\na: 3")
    Traceback (most recent call last):
    ...
    ValueError: key a stands in line 1 and again in line 3
    """
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return None
        _check(root)
        return yaml.SafeLoader("").construct_document(root)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (LookupError, AttributeError, TypeError, OverflowError) as error:  # of yaml's own making, as for !!int x
        raise ValueError(f"a value does not fit its tag: {error}") from error


def _check(root: "yaml.Node") -> None:
    import yaml

    count, to_do = 0, [root]
    while to_do:
        node = to_do.pop()
        count += 1
        if count > _MOST_VALUES:
            raise ValueError(f"it unfolds to more than {_MOST_VALUES} values")
        if isinstance(node, yaml.SequenceNode):
            to_do += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                to_do += (key, value)
                if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
                    continue
                line = key.start_mark.line + 1
                if key.value in lines:
                    raise ValueError(f"key {key.value[:60]} stands in line {lines[key.value]} and again in line {line}")
                lines[key.value] = line
                key.tag = "tag:yaml.org,2002:str"
