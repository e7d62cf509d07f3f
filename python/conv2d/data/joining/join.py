"""Sensors joined into recordings on one clock, written as a data set folder with an account of how they came about.

Example
-------
>>> import pathlib, tempfile
>>> import numpy as np
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> for sensor, rate in (("neck", 100.0), ("back", 52.1)):
...     t = np.arange(0, 60, 1 / rate)
...     rows = [f"{s:.6f},{np.sin(s):.6f}" for s in t]
...     _ = (folder / f"{sensor}_rex.csv").write_text("t,ax\\n" + "\\n".join(rows))
>>> sensors = {s: {"files": f"{s}_*.csv", "recording": {"from_filename": f"{s}_(.*)"}, "time": {"host": "t"},
...                "channels": {"acc_x": "ax"}} for s in ("neck", "back")}
>>> mapping = {"name": "tiny", "sensors": sensors, "subject": {"from_filename": "_(.*)"}, "rate_hz": 50}
>>> join_sources(folder, folder / "out", mapping).n_rows
3000
>>> from conv2d.data import Dataset
>>> joined = Dataset.open(folder / "out").load("rex")
>>> bool(np.abs(joined.samples[0, 1, 50:-50] - np.sin(joined.time_s[50:-50])).max() < 2e-3)
True
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from conv2d.data.joining.labels import Intervals
from conv2d.data.joining.plan import read_plan
from conv2d.data.joining.provenance import FORMAT, HOW, MEANING
from conv2d.data.joining.recordings import Joiner
from conv2d.data.joining.streams import Source, Vocabulary, open_sources
from conv2d.data.joining.timing import time_samples
from conv2d.data.meta import in_words
from conv2d.data.rate import round_rate
from conv2d.data.writer import DatasetWriter
from conv2d.errors import DataError, UsageError
from conv2d.files import write_json


@dataclass(frozen=True)
class JoinResult:
    """What was joined. ``sensors`` gives for each its recordings, share of valid samples and drifts."""

    path: str
    n_recordings: int
    n_subjects: int
    n_rows: int
    rate_hz: float
    rate_is_given: bool
    sensors: dict[str, dict[str, Any]]
    labels: dict[str, int]
    unlabelled_rows: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def join_sources(
    source: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any],
    *,
    rate_hz: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> JoinResult:
    """Join the sensors of a mapping, whose files lie in the folder ``source``, into a data set at ``out``.

    The data set has for each sensor the quality columns ``<sensor>_how`` (uint8, bits of `provenance`) and
    ``<sensor>_gap_ms`` (float32, between the source's rows around the sample), and ``joining.json`` beside
    ``dataset.yaml`` tells files, clocks, breaks, filters and counts. ``rate_hz`` overrules that of the mapping;
    without either it is the lowest rate of the sensors. ``progress`` is called with (recordings done, in all).

    Raises
    ------
    ConfigError
        E-DATA-021: the mapping is off.
    DataError
        E-DATA-020: a clock cannot be fitted, or sensors do not overlap; E-DATA-010, 012 or 016 as for an import.

    Cost: memory of one recording; 9 channels of an hour at 100 Hz take about 2 s besides reading.
    """
    plan = read_plan(mapping)
    folder = Path(source)
    if not folder.is_dir():
        raise DataError(f"E-DATA-016: {source} is no folder, expected the one with the sensors' files; name it")
    if rate_hz is not None and not 0 < rate_hz < 1e6:
        raise UsageError(f"rate is {rate_hz} Hz, expected samples per second above 0; change --rate")
    words = Vocabulary({c: i for i, c in enumerate(plan.classes or ())}, fixed=plan.classes is not None)
    sources = open_sources(folder, plan, words)
    intervals = Intervals(folder, plan, words) if plan.label is not None and plan.label.files is not None else None
    given = rate_hz or plan.rate_hz
    joiner = Joiner(plan, sources, words, intervals, given or _lowest_rate(sources))
    names = sorted({name for s in sources.values() for name in s.recordings()})
    facts: dict[str, Any] = {}
    with DatasetWriter(out, joiner.meta()) as writer:
        for done, name in enumerate(names):
            recording, facts[name] = joiner.join(name)
            writer.add(recording)
            writer.finish(name)
            if progress is not None:
                progress(done + 1, len(names))
        if intervals is not None and (unused := sorted(intervals.recordings() - set(names))):
            joiner.notes.append(f"labels of {in_words(unused)} belong to no recording")
        writer.meta = joiner.meta()
        write_json(writer.folder / "joining.json", _account(joiner, facts))
    return _result(joiner, str(out), rate_is_given=given is not None)


def _lowest_rate(sources: Mapping[str, Source]) -> float:
    """The lowest rate of the sensors, as declared or else measured in the first recording that has it."""
    rates = []
    for source in sources.values():
        rate = source.rate_hz
        if rate is None:
            stamps, _ = source.load(source.recordings()[0])
            rate = round_rate(1 / time_samples(stamps).period_s)
        rates.append(rate)
    return min(rates)


def _account(joiner: Joiner, facts: Mapping[str, Any]) -> dict[str, Any]:
    from conv2d import __version__

    how = {name: {"bit": bit, "meaning": MEANING[name]} for name, bit in HOW.items()}
    return {
        "format": FORMAT,
        "conv2d": __version__,
        "rate_hz": joiner.rate_hz,
        "span": joiner.plan.span,
        "how": how,
        "recordings": dict(facts),
    }


def _result(joiner: Joiner, path: str, *, rate_is_given: bool) -> JoinResult:
    sensors = {
        s: {
            "recordings": c["recordings"],
            "valid_share": c["valid"] / c["rows"] if c["rows"] else 0.0,
            "rows_dropped": c["dropped"],
            "samples_lost_between_packets": c["lost"],
            "breaks": c["breaks"],
            "device_resets": c["resets"],
            "uncertain_share": c["uncertain"] / c["rows"] if c["rows"] else 0.0,
            "drift_ppm": sorted(round(d, 3) for d in joiner.drifts[s]),
        }
        for s, c in joiner.counts.items()
    }
    labelled = sum(joiner.label_rows.values())
    return JoinResult(
        path, joiner.n_recordings, len(joiner.subjects), joiner.n_rows, joiner.rate_hz, rate_is_given, sensors,
        dict(sorted(joiner.label_rows.items())), joiner.n_rows - labelled, tuple(joiner.notes),
    )  # fmt: skip
