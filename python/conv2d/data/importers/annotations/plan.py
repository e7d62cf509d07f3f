"""The mapping of an import of labels: which recording, which lane, which names, and what to do where they meet."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conv2d.data.importers.sources import pattern_of, read_keys, text_of, texts_of
from conv2d.errors import ConfigError, UsageError

CODE = "E-DATA-019"


@dataclass(frozen=True)
class LabelPlan:
    """A checked mapping; see `conv2d.data.importers.annotations.labelled_copy` for its keys."""

    data: Path
    files: str | None = None
    name: str = ""
    title: str = ""
    notes: tuple[str, ...] = ()
    recordings: Mapping[str, str | None] = field(default_factory=dict)
    lanes: tuple[str, ...] = ()
    offsets: Mapping[str, float] = field(default_factory=dict)  # by document or recording; "" is that of all
    label_map: Mapping[str, str | None] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    priority: tuple[str, ...] = ()
    point_s: float | None = None
    unlabelled: str | None = None
    clip: bool = False
    where: str = "the mapping"

    def offset_s(self, document: str, recording: str) -> float:
        """Seconds to add to the times of a document."""
        return next((self.offsets[key] for key in (document, recording, "") if key in self.offsets), 0.0)


def read_label_plan(
    mapping: str | Path | Mapping[str, Any] | None, data: str | Path | None, *, lane_key: str
) -> LabelPlan:
    """Check a mapping; ``lane_key`` is ``subject`` for BORIS and ``tier`` for ELAN.

    Raises
    ------
    ConfigError
        E-DATA-019: a key is unknown or off.
    UsageError
        No data set is named, neither here nor by the mapping.
    """
    known = (
        "data", "files", "name", "title", "notes", "recordings", lane_key, "offset_s", "map", "null", "classes",
        "priority", "points", "unlabelled", "clip",
    )  # fmt: skip
    content, where = read_keys(mapping, known, code=CODE)
    if data is None and content.get("data") is not None:
        base = Path() if mapping is None or isinstance(mapping, Mapping) else Path(mapping).parent
        data = base / text_of(content, "data", where, code=CODE)
    if data is None:
        raise UsageError(
            f"{CODE}: no data set is named whose recordings the labels belong to; give --data DATASET, or data: in the "
            "mapping"
        )
    clip = content.get("clip", False)
    if not isinstance(clip, bool):
        raise ConfigError(f"{CODE}: clip of {where} is {clip!r}, expected true or false")
    points = content.get("points")
    classes = texts_of(content, "classes", where, code=CODE) or None
    renamed = _names(content, "map", where) | dict.fromkeys(texts_of(content, "null", where, code=CODE))
    return LabelPlan(
        data=Path(data),
        files=pattern_of(content, where, code=CODE),
        name=text_of(content, "name", where, code=CODE),
        title=text_of(content, "title", where, code=CODE),
        notes=texts_of(content, "notes", where, code=CODE),
        recordings=_names(content, "recordings", where),
        lanes=texts_of(content, lane_key, where, code=CODE),
        offsets=_offsets(content.get("offset_s"), where),
        label_map=renamed,
        classes=classes,
        priority=texts_of(content, "priority", where, code=CODE),
        point_s=None if points in (None, "ignore") else _seconds(points, "points", where, above=0.0),
        unlabelled=text_of(content, "unlabelled", where, code=CODE) or None,
        clip=clip,
        where=where,
    )


def _names(content: Mapping[str, Any], key: str, where: str) -> dict[str, str | None]:
    value = content.get(key) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{CODE}: {key} of {where} is {value!r}, expected 'name there: name here', or null for none")
    for there, here in value.items():
        if here is not None and (isinstance(here, bool) or not isinstance(here, str | int | float)):
            raise ConfigError(
                f"{CODE}: {key} of {where} makes {here!r} of {str(there)!r}, expected a name, or null for none; put it "
                "in quotes"
            )
    return {str(k): None if v is None else str(v) for k, v in value.items()}


def _offsets(value: Any, where: str) -> dict[str, float]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {str(k): _seconds(v, f"offset_s ({k})", where) for k, v in value.items()}
    return {"": _seconds(value, "offset_s", where)}


def _seconds(value: Any, key: str, where: str, *, above: float = -math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < math.inf:
        expected = "seconds above 0, or ignore" if above == 0 else "seconds"
        raise ConfigError(f"{CODE}: {key} of {where} is {value!r}, expected {expected}")
    return float(value)
