"""Files to be imported, and the short mapping files of importers whose format says the rest by itself."""

import difflib
import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from conv2d.data.meta import one_line
from conv2d.data.yaml_text import parse_yaml
from conv2d.errors import ConfigError, DataError


def find_sources(source: str | Path, usual: Sequence[str], pattern: str | None, *, code: str) -> list[Path]:
    """The files of a source, sorted: a file, a folder (with ``pattern``, by default the ``usual`` ones), or a pattern.

    Usual names such as ``*.cwa`` are compared without regard to case: devices write ``CWA-DATA.CWA``. DataError with
    ``code`` where no file is found.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        inside = path.glob(pattern) if pattern else (f for f in path.iterdir() if _is_usual(f.name, usual))
        found = sorted(f for f in inside if f.is_file())
        what = f"{path} has no file {pattern or ' or '.join(usual)}"
    else:
        found = sorted(p for p in map(Path, glob.glob(str(source), recursive=True)) if p.is_file())
        what = f"{source} is neither a file, a folder nor a pattern that matches one"
    if not found:
        raise DataError(f"{code}: {what}; name the files to import")
    return found


def _is_usual(name: str, usual: Sequence[str]) -> bool:
    return any(fnmatch(name.lower(), pattern.lower()) for pattern in usual)


def pattern_of(content: Mapping[str, Any], where: str, *, code: str) -> str | None:
    """The key ``files``: which files of a folder are taken, as a pattern within that folder; None without it.

    Raises
    ------
    ConfigError
        With ``code``: it is no text, or no pattern that a folder can be searched by.
    """
    value = content.get("files")
    if value is None:
        return None
    try:
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise ValueError
        next(Path().glob(value), None)  # which refuses absolute ones
    except (ValueError, NotImplementedError) as error:
        raise ConfigError(
            f"{code}: files of {where} is {value!r}, expected a pattern of names in the folder, such as 'dog*.csv'"
        ) from error
    except OSError:
        pass  # here there may be nothing to search; there may be where it is used
    return value


def read_keys(
    mapping: str | Path | Mapping[str, Any] | None, known: Iterable[str], *, code: str
) -> tuple[dict[str, Any], str]:
    """The content of a mapping file (or of one that was loaded already), and what messages call it; None is empty.

    Raises
    ------
    ConfigError
        With ``code``: the file cannot be read, is no YAML, or has a key that is not ``known``.
    """
    if mapping is None:
        return {}, "the mapping"
    if isinstance(mapping, Mapping):
        content, where = dict(mapping), "the mapping"
    else:
        content, where = _load(Path(mapping), code), f"mapping {mapping}"
    known = list(known)
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
            raise ConfigError(f"{code}: {where} has an unknown key {key!r}; {hint}")
    return content, where


def _load(path: Path, code: str) -> dict[str, Any]:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{code}: cannot open mapping {path} ({error.strerror}); give --map FILE") from error
    except ValueError as error:
        raise ConfigError(f"{code}: mapping {path} is not valid YAML ({one_line(error)}); mend it") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{code}: mapping {path} holds a {type(content).__name__}, expected keys; write 'key: value'")
    return content


def text_of(content: Mapping[str, Any], key: str, where: str, *, code: str, default: str = "") -> str:
    """A key whose value is text; a number counts as text."""
    value = content.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{code}: {key} of {where} is {value!r}, expected text; put it in quotes")
    return str(value)


def texts_of(content: Mapping[str, Any], key: str, where: str, *, code: str) -> tuple[str, ...]:
    """A key whose value is a text or a list of texts."""
    value = content.get(key)
    values = [] if value is None else value if isinstance(value, list | tuple) else [value]
    for item in values:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            raise ConfigError(
                f"{code}: {key} of {where} has {item!r}, expected a text or a list of texts; put it in quotes"
            )
    return tuple(str(item) for item in values)


def file_name(text: str) -> str:
    """Text as the name of a recording or sensor: what is not a letter, digit, dot, dash or underscore becomes a dash.

    >>> file_name("right wrist"), file_name("../CWA DATA")
    ('right-wrist', 'CWA-DATA')
    """
    return re.sub(r"[^\w.-]+", "-", text).strip(".-") or "x"
