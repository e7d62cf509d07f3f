"""The behaviour task's files in a run directory, written and read back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn

from conv2d.errors import DataError, UsageError
from conv2d.files import read_json, write_json
from conv2d.metrics.core import MetricsCalculator
from conv2d.models.conv2d_fsq import Architecture, Conv2dFSQ
from conv2d.tasks.behavior.corpus import Corpus, Selection
from conv2d.tasks.behavior.decoding import Decoding
from conv2d.tasks.behavior.inference import to_frames
from conv2d.tasks.behavior.preprocess import Preprocess

if TYPE_CHECKING:
    from conv2d.tasks.behavior.task import BehaviorTask

MODEL_FORMAT = "conv2d-model/1"
LABELS_FORMAT = "conv2d-labels/1"


def save_run_files(task: "BehaviorTask", folder: Path, network: nn.Module, preprocess: Preprocess) -> dict[str, object]:
    """Write weights, architecture, preprocessing, decoders, calibration, labels and out-of-fold predictions."""
    assert isinstance(network, Conv2dFSQ)
    assert task.decoding is not None  # fit() has run
    # as bytes: the library's own writer makes a file that only its owner can read
    weights = save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})
    (folder / "model.safetensors").write_bytes(weights)
    write_json(
        folder / "model.json",
        {
            "format": MODEL_FORMAT,
            "task": task.name,
            "name": task.config.model.name,
            "architecture": network.architecture.to_dict(),
            "parameters": sum(weight.numel() for weight in network.parameters()),
            "subjects": list(task.corpus.subjects),
        },
    )
    write_json(folder / "preprocess.json", preprocess.to_dict())
    write_json(folder / "hsmm.json", task.decoding.decoders_to_dict())
    write_json(folder / "calibration.json", task.decoding.calibration_to_dict())
    write_json(folder / "label_map.json", {"format": LABELS_FORMAT, "classes": list(task.classes)})
    return _inner_predictions(task, folder)


def _inner_predictions(task: "BehaviorTask", folder: Path) -> dict[str, object]:
    """Write what each window got from an inner network that had not seen its subject; return its figures."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    assert task.decoding is not None
    folds = [(fold, to_frames(task.corpus, scores)) for fold, scores in enumerate(task.out_of_fold, 1)]
    frames = [frame for _, held_out in folds for frame in held_out]
    lengths = [len(frame) for frame in frames]
    label = np.concatenate([frame.label for frame in frames])
    has_data = np.concatenate([frame.has_data for frame in frames])
    proba = task.decoding.calibrate(np.concatenate([frame.logits for frame in frames]), has_data)
    evaluated = (label >= 0) & (np.concatenate([frame.start for frame in frames]) % task.data.hop == 0)
    classes = np.array([*task.classes, None], dtype=object)
    columns: dict[str, Any] = {
        "recording": pa.array(np.repeat([frame.recording for frame in frames], lengths)).cast(pa.string()),
        "subject": pa.array(np.repeat([frame.subject for frame in frames], lengths)).cast(pa.string()),
        "inner_fold": pa.array(np.repeat([fold for fold, held_out in folds for _ in held_out], lengths)),
        "start_s": pa.array(np.concatenate([frame.start_s for frame in frames])),
        "evaluated": pa.array(evaluated),
        "truth": pa.array(classes[label], pa.string()),
    }
    columns |= {f"p_{name}": pa.array(proba[:, k]) for k, name in enumerate(task.classes)}
    pq.write_table(pa.table(columns), folder / "inner_predictions.parquet")
    metrics = MetricsCalculator(task.classes).compute_all(
        label[evaluated], proba[evaluated].argmax(1), proba[evaluated]
    )
    return {"inner_out_of_fold": metrics.to_dict()}


def trained_on(corpus: Corpus, name: str, *, simulated: bool) -> dict[str, object]:
    """What a run was trained on, for its ``metrics.json``."""
    return {
        "name": name,
        "simulated": simulated,
        "recordings": len(corpus.recordings),
        "subjects": len(corpus.subjects),
        "subject_names": list(corpus.subjects),
        "interpolated_share": corpus.interpolated_share,
        "missing_share": corpus.missing_share,
        "too_short": list(corpus.too_short),
    }


def new_network(architecture: Architecture) -> Conv2dFSQ:
    """A network whose weights are to be replaced; torch's generator, which is the caller's, stays where it was."""
    with torch.random.fork_rng(devices=[]):
        return Conv2dFSQ(architecture)


def read_network(folder: Path) -> tuple[Conv2dFSQ, tuple[str, ...]]:
    """Build the network of a run with its weights, and name the subjects it has seen.

    DataError where files are damaged or of another version.
    """
    described = read_json(folder / "model.json")
    if described.get("format") != MODEL_FORMAT:
        raise DataError(
            f"E-RUN-002: model.json has format {described.get('format')!r}, this version reads {MODEL_FORMAT!r}; "
            "train again or use the version that wrote it"
        )
    stored = described["architecture"]
    levels = None if stored["levels"] is None else tuple(stored["levels"])
    network = new_network(Architecture(**{**stored, "levels": levels}))
    try:
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except Exception as error:  # safetensors has an error type of its own for each defect
        reason = str(error).splitlines()[0]
        raise DataError(
            f"E-RUN-001: {folder / 'model.safetensors'} does not fit model.json ({reason}); copy the run again"
        ) from error
    return network.eval(), tuple(described["subjects"])


def read_selection(folder: Path, preprocess: Preprocess) -> Selection:
    """Sensors, channels and classes of a run."""
    labels = read_json(folder / "label_map.json")
    if labels.get("format") != LABELS_FORMAT:
        raise DataError(
            f"E-RUN-002: label_map.json has format {labels.get('format')!r}, this version reads {LABELS_FORMAT!r}; "
            "train again or use the version that wrote it"
        )
    return Selection(preprocess.sensors, preprocess.channels, tuple(labels["classes"]))


def read_decoding(folder: Path) -> Decoding:
    """Calibration and decoders of a run."""
    try:
        return Decoding.from_dicts(read_json(folder / "calibration.json"), read_json(folder / "hsmm.json"))
    except UsageError as error:  # what is wrong is a file here, not the call
        raise DataError(str(error)) from error


def check_classes(folder: Path, selection: Selection, network: Conv2dFSQ, decoding: Decoding) -> None:
    """Refuse a run whose files are of different sets of classes."""
    named, scored, weighed = len(selection.classes), network.architecture.classes, len(decoding.prior)
    if not named == scored == weighed:
        raise DataError(
            f"E-RUN-007: {folder} has {named} classes in label_map.json, {scored} in model.json and {weighed} in "
            "calibration.json, expected the same number; copy the run again"
        )
