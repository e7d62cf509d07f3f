"""Labels from ELAN, onto the recordings of a data set.

::

    conv2d data import elan SOURCE OUT --data DATASET [--map FILE]

SOURCE is a file, a folder or a pattern of ``.eaf`` files or of tab-delimited text exports (``.txt``). A tier's
annotations are the labels; where a file has several tiers with annotations, ``tier`` says which. The keys of the
mapping stand in `conv2d.data.importers.annotations.labelled_copy`.

``.eaf``: times count from the start of the first medium. Annotations that have no time of their own lie evenly between
their neighbours' (as ELAN shows them; a note counts them), those that refer to another annotation have its times. Files
with a DOCTYPE are refused, as it can make a small file fill the memory.

Text: with column titles (``Begin Time - ss.msec``, ``End Time - ss.msec`` and a column for each tier), or without them
where begin and end stand there as hh:mm:ss.ms, with the tier first and the annotation behind the times. An export of
several files is refused, as its times count from the start of each.

Source: ELAN Annotation Format (EAF) 3.0; ELAN manual, "Exporting a document as a tab-delimited text file".
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from conv2d.data.importers.annotations.elan_text import read_tab_export
from conv2d.data.importers.annotations.intervals import Annotation, Document, not_empty, read_bytes
from conv2d.data.importers.annotations.labelled_copy import write_labelled
from conv2d.data.importers.annotations.plan import CODE, read_label_plan
from conv2d.data.importers.registry import FORMATS
from conv2d.data.importers.result import ImportResult
from conv2d.data.importers.sources import find_sources
from conv2d.data.meta import one_line
from conv2d.errors import DataError


def import_elan(
    source: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any] | None = None,
    *,
    data: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Copy the data set ``data`` to ``out`` with the labels of ELAN files; see the module.

    Raises
    ------
    ConfigError, UsageError
        E-DATA-019: the mapping is off, or no data set is named.
    DataError
        E-DATA-019: a file that cannot be read or refers to what is not there, labels that overlap. E-DATA-010,
        E-DATA-012.
    """
    plan = read_label_plan(mapping, data, lane_key="tier")
    files = find_sources(source, FORMATS["elan"].patterns, plan.files, code=CODE)
    documents: dict[str, Document] = {}
    for path in files:
        document = read_eaf(path) if path.suffix.lower() == ".eaf" else read_tab_export(path)
        if document.name in documents:
            raise DataError(
                f"{CODE}: {documents[document.name].path} and {path} are both called {document.name}; name one of them"
            )
        documents[document.name] = document
    return write_labelled(list(documents.values()), files, out, plan, tool="ELAN", lane_key="tier", progress=progress)


def read_eaf(path: Path) -> Document:
    """The annotations of an ``.eaf`` file.

    Raises
    ------
    DataError
        E-DATA-019.

    Example
    -------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "walk.eaf"
    >>> _ = path.write_text(
    ...     "<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID='a' TIME_VALUE='1000'/>"
    ...     "<TIME_SLOT TIME_SLOT_ID='b' TIME_VALUE='2500'/></TIME_ORDER><TIER TIER_ID='rex'><ANNOTATION>"
    ...     "<ALIGNABLE_ANNOTATION TIME_SLOT_REF1='a' TIME_SLOT_REF2='b'><ANNOTATION_VALUE>walk</ANNOTATION_VALUE>"
    ...     "</ALIGNABLE_ANNOTATION></ANNOTATION></TIER></ANNOTATION_DOCUMENT>")
    >>> [(a.lane, a.label, a.start_s, a.stop_s) for a in read_eaf(path).annotations]
    [('rex', 'walk', 1.0, 2.5)]
    """
    root = _parse(path, read_bytes(path))
    header = root.find("HEADER")
    units = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if units != "milliseconds":
        raise DataError(f"{CODE}: {path} counts time in {units}, expected milliseconds; save it with a newer ELAN")
    document = Document(path.stem, path)
    slots = {slot.get("TIME_SLOT_ID", ""): _slot(slot, path) for slot in root.iterfind("TIME_ORDER/TIME_SLOT")}
    found: dict[str, tuple[float, float]] = {}  # times of annotations by their identifier
    n_between = n_empty = 0
    references = []
    for tier in root.iterfind("TIER"):
        name = tier.get("TIER_ID", "")
        aligned = list(tier.iterfind("ANNOTATION/ALIGNABLE_ANNOTATION"))
        times, between = _times(aligned, slots, f"tier {name!r} of {path.name}")
        n_between += between
        for annotation, (start, stop) in zip(aligned, times, strict=True):
            found[annotation.get("ANNOTATION_ID", "")] = start, stop
            n_empty += _add(document, annotation, start, stop, name)
        references.append((name, list(tier.iterfind("ANNOTATION/REF_ANNOTATION"))))
    parents = {r.get("ANNOTATION_ID", ""): r.get("ANNOTATION_REF", "") for _, tier in references for r in tier}
    for name, referring in references:
        n_empty += _add_referring(document, name, referring, found, parents)
    for medium in root.iterfind("HEADER/MEDIA_DESCRIPTOR"):
        if medium.get("TIME_ORIGIN", "0") not in ("0", ""):
            document.notes.append(f"{path.name} begins a medium at {medium.get('TIME_ORIGIN')} ms; nothing was shifted")
    if n_between:
        document.notes.append(f"times of {path.name} that lie evenly between those set by hand: {n_between}")
    if n_empty:
        document.notes.append(f"annotations of {path.name} without text, left out: {n_empty}")
    return not_empty(document)


def _parse(path: Path, raw: bytes) -> ElementTree.Element:
    def refuse(*_: object) -> None:
        raise DataError(f"{CODE}: {path} has a DOCTYPE, which ELAN does not write; it was not read, remove that line")

    guard = expat.ParserCreate()
    guard.StartDoctypeDeclHandler = refuse
    try:
        guard.Parse(raw, True)
        root = ElementTree.fromstring(raw)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{CODE}: {path} is not whole XML ({one_line(error)}); save it again with ELAN") from error
    if root.tag != "ANNOTATION_DOCUMENT":
        raise DataError(f"{CODE}: {path} holds <{root.tag}>, expected <ANNOTATION_DOCUMENT> of ELAN; name another file")
    return root


def _slot(slot: ElementTree.Element, path: Path) -> float | None:
    """Seconds of a slot; None where it has no time of its own."""
    value = slot.get("TIME_VALUE")
    if value is None:
        return None
    if not re.fullmatch(r"-?\d{1,12}", value):
        raise DataError(f"{CODE}: {path} has the time {value!r}, expected whole milliseconds; save it again with ELAN")
    return int(value) / 1000


def _times(
    annotations: Sequence[ElementTree.Element], slots: Mapping[str, float | None], where: str
) -> tuple[list[tuple[float, float]], int]:
    """Start and stop of a tier's annotations, and how many slots between them had no time.

    Slots without a time are shared by neighbours, so that annotations form a chain from one with a time to another.
    """
    times = dict(slots)
    ends = [(a.get("TIME_SLOT_REF1", ""), a.get("TIME_SLOT_REF2", "")) for a in annotations]
    following = {}
    for first, second in ends:
        for slot in (first, second):
            if slot not in times:
                raise DataError(
                    f"{CODE}: {where} refers to time slot {slot!r}, which is not there; save it again with ELAN"
                )
        following[first] = second
    n_between = 0
    for first in [f for f in following if times[f] is not None]:
        chain = [first, following[first]]
        while times[chain[-1]] is None and chain[-1] in following and len(chain) <= len(following) + 1:
            chain.append(following[chain[-1]])
        start, stop = times[chain[0]], times[chain[-1]]
        if start is None or stop is None:
            continue
        for i, slot in enumerate(chain[1:-1], 1):
            times[slot] = start + (stop - start) * i / (len(chain) - 1)
            n_between += 1
    result = []
    for (first, second), annotation in zip(ends, annotations, strict=True):
        start, stop = times[first], times[second]
        if start is None or stop is None:
            raise DataError(
                f"{CODE}: annotation {annotation.get('ANNOTATION_ID')!r} in {where} has no time and no neighbour "
                "with one; set its borders in ELAN"
            )
        if stop < start:
            raise DataError(
                f"{CODE}: annotation {annotation.get('ANNOTATION_ID')!r} in {where} goes from {start:g} to {stop:g} s, "
                "expected an end after its begin; correct it in ELAN"
            )
        result.append((start, stop))
    return result, n_between


def _add_referring(
    document: Document,
    tier: str,
    referring: Sequence[ElementTree.Element],
    found: Mapping[str, tuple[float, float]],
    parents: Mapping[str, str],
) -> int:
    """Add annotations that have the times of those they refer to; returns how many of them have no text."""
    per_parent = Counter(annotation.get("ANNOTATION_REF", "") for annotation in referring)
    n_empty = 0
    for annotation in referring:
        parent = annotation.get("ANNOTATION_REF", "")
        if per_parent[parent] > 1:
            raise DataError(
                f"{CODE}: tier {tier!r} of {document.path.name} divides annotation {parent!r} without times, expected "
                "one for one; choose another tier, or set times in ELAN"
            )
        aligned = parent
        for _ in range(len(parents)):  # no more, so that a circle ends
            if aligned in found or aligned not in parents:
                break
            aligned = parents[aligned]
        if aligned not in found:
            raise DataError(
                f"{CODE}: tier {tier!r} of {document.path.name} refers to annotation {parent!r}, which is not there; "
                "save it again with ELAN"
            )
        n_empty += _add(document, annotation, *found[aligned], tier)
    return n_empty


def _add(document: Document, annotation: ElementTree.Element, start: float, stop: float, tier: str) -> bool:
    """Add an annotation unless it has no text; returns whether it has none."""
    label = " ".join((annotation.findtext("ANNOTATION_VALUE") or "").split())
    if label:
        where = f"annotation {annotation.get('ANNOTATION_ID')} of {document.path.name}"
        document.annotations.append(Annotation(start, stop, label, tier, where))
    return not label
