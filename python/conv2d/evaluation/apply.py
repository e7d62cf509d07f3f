"""``conv2d run``: one recording, or a whole data set, to segments, predictions and a picture; labels are not needed."""

from pathlib import Path
from typing import Any

from conv2d.data import Dataset, Recording
from conv2d.errors import DataError
from conv2d.evaluation.outputs import timeline_of
from conv2d.files import folder_aside
from conv2d.logging.progress import Progress
from conv2d.tasks.behavior.model import BehaviorModel
from conv2d.tasks.behavior.tables import write_predictions, write_segments

SEGMENTS = "segments.csv"


def apply_run(model: BehaviorModel, place: Path, output: Path, progress: Progress) -> dict[str, Any]:
    """Write ``segments.csv``, ``predictions.parquet`` and ``<recording>.png`` for what lies at ``place``.

    ``place`` is a recording's Parquet file inside a data set folder, or such a folder for all its recordings. The
    picture shows the signal, the timeline (with the annotation above it, where there is one) and the probabilities.
    Returns a summary.

    Raises
    ------
    DataError
        Not a recording of a data set; sensors, channels or rate other than the model's; none as long as a window.
    """
    dataset, name = _find(place)
    subjects = None if name is None else [dataset.row(name).subject]
    with progress.task("reading", 1):
        corpus = model.read(dataset, subjects) if name is None else model.read_one(dataset, name)
    with progress.task("decoding", 1):
        results = model.apply(corpus)
    with folder_aside(output, mark=SEGMENTS) as aside:
        write_segments(aside / SEGMENTS, results, model.classes)
        write_predictions(aside / "predictions.parquet", results, model.classes)
        with progress.task("pictures", len(results)) as step:
            for result in results:
                timeline_of(result, model.classes).savefig(aside / f"{result.frames.recording}.png")
                step.advance(1)
    return {
        "output": str(output),
        "recordings": len(results),
        "too_short": list(corpus.too_short),
        "seconds": round(sum(_duration(result.recording) for result in results), 3),
        "segments": sum(len(result.segments()) for result in results),
    }


def _duration(recording: Recording) -> float:
    return recording.duration_s


def _find(place: Path) -> tuple[Dataset, str | None]:
    """The data set of a path, and the recording's name where the path is one recording."""
    if place.is_dir():
        return Dataset.open(place), None
    if not place.is_file():
        raise DataError(f"E-RUN-005: there is no recording {place}; give a Parquet file of a data set, or its folder")
    folder = place.parent.parent
    if place.suffix != ".parquet" or place.parent.name != "recordings" or not (folder / "dataset.yaml").is_file():
        raise DataError(
            f"E-RUN-005: {place} is not <data set>/recordings/<recording>.parquet; make a data set of it first with "
            "conv2d data import"
        )
    return Dataset.open(folder), place.stem
