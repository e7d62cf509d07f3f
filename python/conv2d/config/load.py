"""Reading an experiment file: text to ``Config``, each fault one sentence with file, line, key and what is allowed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from conv2d.config import schema
from conv2d.config.experiment import Config
from conv2d.config.overrides import Override, parse_override
from conv2d.config.yaml_lines import LineError, Place, dump, parse
from conv2d.errors import ConfigError

PACKAGED = Path(__file__).parents[1] / "conf"


def resolve_experiment(name_or_path: str | Path) -> Path:
    """Return the file of an experiment: the path itself, or that of an experiment in the package by its name.

    A file of that name in the working directory comes first. Raises ``ConfigError`` where there is neither.

    >>> resolve_experiment("demo").name
    'demo.yaml'
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    packaged = PACKAGED / f"{path.name}.yaml"
    if str(path) == path.name and packaged.is_file():
        return packaged
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; expected an experiment file such as {path / 'demo.yaml'}")
    names = ", ".join(sorted(file.stem for file in PACKAGED.glob("*.yaml")))
    raise ConfigError(
        f"there is no experiment file {str(path)!r}; give the path of one, or the name of one in the package: {names}"
    )


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read an experiment from a file (or a packaged name such as ``demo``) and put overrides on top.

    ``overrides`` are texts ``key=value`` with the dotted path of a key and its value in YAML; later ones win.
    Raises ``ConfigError`` with one sentence: the file and line, the key, what it is and what is allowed.

    >>> load_config("demo", ["seed=3", "model.architecture.quantization.type=none"]).seed
    3
    """
    file = resolve_experiment(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: is not UTF-8 text; expected a YAML file with an experiment") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror}); check the file and its permissions") from error
    try:
        values, lines = parse(text)
    except LineError as error:
        raise ConfigError(f"{file}:{error.line}: {error}") from error
    if not isinstance(values, dict):
        got = "is empty" if values is None else f"holds {_shown(values)}"
        raise ConfigError(f"{file}:1: {got}; expected a YAML mapping with the keys {', '.join(schema.keys())}")
    origins = {place: f"{file}:{line}" for place, line in lines.items()}
    return _validated(values, origins, f"{file}:1", [parse_override(text) for text in overrides])


def apply_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """Return an experiment with overrides ``key=value`` put on top, as ``load_config`` does.

    >>> apply_overrides(load_config("demo"), ["evaluation.folds=3"]).evaluation.folds
    3
    """
    return parse_config(config.model_dump(mode="json"), overrides, f"experiment {config.name!r}")


def parse_config(values: dict[str, Any], overrides: Sequence[str] = (), origin: str = "experiment") -> Config:
    """Return the experiment that plain values describe, overrides put on top; ``origin`` names it in an error.

    >>> parse_config({"name": "x", "data": {"name": "x", "sampling_rate": 50, "window_size": 128}}).data.hop
    64
    """
    return _validated(dict(values), {}, origin, [parse_override(text) for text in overrides])


def _validated(values: dict[str, Any], origins: dict[Place, str], origin: str, overrides: list[Override]) -> Config:
    for override in overrides:
        override.put(values)
        origins = {place: where for place, where in origins.items() if place[: len(override.place)] != override.place}
        origins[override.place] = f"override {override.text!r}"
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_sentence(error, values, origins, origin)) from error


def _sentence(error: ValidationError, values: Any, origins: dict[Place, str], origin: str) -> str:
    """Return one sentence for the first fault in the order of the file; an unknown key explains a missing one."""
    faults: dict[Place, tuple[bool, int, str]] = {}
    order = {place: number for number, place in enumerate(origins)}
    for detail in error.errors(include_url=False):
        place = _place(detail["loc"], values, detail["type"])
        if detail["type"] == "conv2d_fault":
            place = (*place, *filter(None, detail["ctx"]["key"].split(".")))
        elif place in faults:
            continue  # another member of a union, which asks for the same
        unknown = detail["type"] == "extra_forbidden"
        rank = next((order[place[:n]] for n in range(len(place), 0, -1) if place[:n] in order), len(order))
        faults[place] = (not unknown, rank, _fault(place, dict(detail), values))
    # A list that no member of a union takes is no fault beside the entry that is wrong in it.
    within = {place[:n] for place in faults for n in range(len(place))}
    faults = {place: found for place, found in faults.items() if place not in within}
    (place, (_, _, message)), *others = sorted(faults.items(), key=lambda item: item[1][:2])
    where = next((origins[place[:n]] for n in range(len(place), 0, -1) if place[:n] in origins), origin)
    more = f" (and {len(others)} more)" if others else ""
    return f"{where}: {message}{more}"


def _fault(place: Place, detail: dict[str, Any], values: Any) -> str:
    key = _dotted(place)
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key {key}; {schema.nearest(str(place[-1]), place[:-1])}"
        case "missing":
            return f"{key} is missing; expected {schema.allowed(place)}"
        case "conv2d_fault":
            return f"{key} {detail['msg']}"
    value = _at(values, place)
    return f"{key} is {_shown(value)}; expected {schema.allowed(place)}{schema.advice(place, value)}"


def _place(loc: tuple[int | str, ...], values: Any, kind: str) -> Place:
    """Return a pydantic location without the names that it gives to the members of a union."""
    place: list[int | str] = []
    for step in loc:
        inside = (isinstance(values, dict) and step in values) or (
            isinstance(values, list | tuple) and isinstance(step, int) and step < len(values)
        )
        if inside:
            values = values[step]
            place.append(step)
        elif kind == "missing" and step == loc[-1]:
            place.append(step)
    return tuple(place)


def _at(values: Any, place: Place) -> Any:
    for step in place:
        values = values[step]
    return values


def _dotted(place: Place) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")


def _shown(value: Any) -> str:
    if isinstance(value, str):
        text = repr(value)
    elif isinstance(value, dict):
        text = f"a block with the keys {', '.join(map(str, value))}" if value else "an empty block"
    elif value is None:
        text = "empty"
    else:
        text = dump(value).removesuffix("...\n").strip()
    return text if len(text) <= 80 else f"{text[:77]}..."
