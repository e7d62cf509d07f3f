"""``conv2d run``: one recording, or a whole data set, to segments, predictions and a picture; labels are not needed."""

import hashlib
from pathlib import Path
from typing import Any

from conv2d.data import Dataset
from conv2d.errors import DataError
from conv2d.evaluation.log import begin_log
from conv2d.evaluation.outputs import timeline_of
from conv2d.files import folder_aside, refuse_foreign, write_json
from conv2d.logging.counters import take_counts
from conv2d.logging.progress import Progress
from conv2d.logging.structured import log_counters
from conv2d.tasks.behavior.corpus import recording_hashes
from conv2d.tasks.behavior.model import BehaviorModel
from conv2d.tasks.behavior.tables import write_predictions, write_segments
from conv2d.training.provenance import provenance

FORMAT = "conv2d-timeline/1"
MARK = "timeline.json"


def apply_run(model: BehaviorModel, place: Path, output: Path, progress: Progress) -> dict[str, Any]:
    """Write ``segments.csv``, ``predictions.parquet`` and ``<recording>.png`` for what lies at ``place``.

    ``place`` is a recording's Parquet file, in a data set folder or alone, or such a folder for all its recordings. The
    picture shows the signal, the timeline (with the annotation above it, where there is one) and the probabilities.
    ``timeline.json`` says of what model and samples they are; the run's ``config.yaml`` and a log lie beside it.
    Returns a summary.

    Raises
    ------
    DataError
        Neither; sensors, channels or rate other than the model's; no recording as long as a window.
    """
    take_counts()  # counts are those of this call
    refuse_foreign(output, mark=MARK)
    if not place.exists():
        raise DataError(f"E-RUN-005: there is no recording {place}; give a Parquet file, or the folder of a data set")
    with progress.task("reading", 1):
        corpus = model.read(Dataset.open(place)) if place.is_dir() else model.read_file(place)
        data_sha256 = Dataset.open(place).sha256() if place.is_dir() else _file_sha256(place)
    with progress.task("decoding", 1):
        results = model.apply(corpus, decoders=())
    config = model.config
    summary = {
        "simulated": corpus.simulated,
        "recordings": len(results),
        "too_short": list(corpus.too_short),
        "seconds": round(sum(result.recording.duration_s for result in results), 3),
        "segments": sum(len(result.segments()) for result in results),
    }
    with folder_aside(output, mark=MARK) as aside:
        write_segments(aside / "segments.csv", results, model.classes)
        write_predictions(aside / "predictions.parquet", results, model.classes)
        with progress.task("pictures", len(results)) as step:
            for result in results:
                recording = result.recording
                title = f"{recording.name} (subject {recording.subject}{', simulated' if summary['simulated'] else ''})"
                timeline_of(result, model.classes, title=title).savefig(aside / f"{recording.name}.png")
                step.advance(1)
        (aside / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        begin_log(aside, config, data_sha256=data_sha256, seed=config.seed).info("run", **summary)
        log_counters()
        facts = provenance(config, data_sha256, config.seed, simulated=corpus.simulated, command="run")
        source = {"data_name": corpus.source, "samples_sha256": recording_hashes(corpus)}
        write_json(aside / MARK, {"format": FORMAT, **summary, **source, "provenance": facts})
    return {"output": str(output), **summary}


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
