"""A run directory of what was fitted in memory, as bytes: it needs no recording once it is made."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from conv2d.data import Recording
from conv2d.data.duplicates import write_seen
from conv2d.errors import UsageError
from conv2d.files import folder_aside, is_free, write_json
from conv2d.tasks.behavior.corpus import recording_hashes
from conv2d.tasks.behavior.preprocess import Preprocess
from conv2d.tasks.behavior.run_files import trained_on
from conv2d.tasks.behavior.task import BehaviorTask
from conv2d.training.fit import Fitted
from conv2d.training.provenance import provenance
from conv2d.training.run_directory import FORMAT, MARK, write_history

COMMAND = "Conv2dClassifier.fit"  # by which a run made in Python is known: no baseline was fitted beside it


def run_as_bytes(
    task: BehaviorTask, fitted: Fitted[Preprocess], data_name: str, data_sha256: str, *, simulated: bool
) -> dict[str, bytes]:
    """Content of each file that ``conv2d.load`` and ``conv2d run`` need, by name, the mark of a whole run last."""
    config = task.config
    with tempfile.TemporaryDirectory(prefix="conv2d-run-") as name:
        folder = Path(name)
        metrics = dict(task.save(folder, fitted.network, fitted.preprocess))
        write_seen(folder, (recording.samples for recording in task.corpus.recordings))
        (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        write_history(folder / "history.csv", fitted.history)
        metrics["data"] = trained_on(task.corpus, data_name, simulated=simulated)
        write_json(folder / "metrics.json", metrics)
        files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
        facts = provenance(
            config,
            data_sha256,
            config.seed,
            simulated=simulated,
            format=FORMAT,
            command=COMMAND,
            data_name=data_name,
            subjects=list(task.corpus.subjects),
            recordings=recording_hashes(task.corpus),
            warnings=list(task.warnings),
        )
        write_json(folder / MARK, facts)
        return {**files, MARK: (folder / MARK).read_bytes()}


def write_run(files: Mapping[str, bytes], output: Path) -> None:
    """Write the files as a folder that appears whole or not at all; UsageError E-OUT-002 where something stands."""
    if not is_free(output):
        raise UsageError(
            f"E-OUT-002: {output} exists and a run is never overwritten; choose another folder or remove it"
        )
    with folder_aside(output, mark=MARK) as aside:
        for name, content in files.items():
            (aside / name).write_bytes(content)


def hash_recordings(recordings: Sequence[Recording]) -> str:
    """Hash of recordings in memory: names, subjects, times, samples and labels. O(bytes)."""
    digest = hashlib.sha256()
    for r in recordings:
        words = [r.name, r.subject, repr(r.rate_hz), *r.sensors, "", *r.channels, "", *r.classes]
        digest.update("\0".join(words).encode())
        for array in (r.time_s, np.nan_to_num(r.samples), r.labels):
            digest.update(hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest())
    return digest.hexdigest()
