"""A trained behaviour model: recordings in, codes, probabilities and timelines out."""

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conv2d.config import Config, load_config
from conv2d.data import Dataset
from conv2d.data.corrections import apply_corrections
from conv2d.data.meta import in_words, read_meta, read_rows
from conv2d.data.recording_file import read_recording
from conv2d.errors import ConfigError, DataError, UsageError
from conv2d.files import read_json
from conv2d.models.conv2d_fsq import Conv2dFSQ
from conv2d.tasks.behavior import run_files
from conv2d.tasks.behavior.corpus import Corpus, Place, Selection, check_rate, prepare, read_corpus
from conv2d.tasks.behavior.decoding import Decoding
from conv2d.tasks.behavior.in_memory import as_windows, corpus_of_recordings, corpus_of_windows, recordings_in, unmasked
from conv2d.tasks.behavior.inference import BATCH, forward, infer, to_frames
from conv2d.tasks.behavior.preprocess import Preprocess, WindowReader
from conv2d.tasks.behavior.task import BehaviorTask, without_data
from conv2d.tasks.behavior.timeline import Result, decode
from conv2d.tasks.behavior.timelines import Timelines
from conv2d.training.run_directory import check_run
from conv2d_core import fsq_encode

CHUNK = 8 * BATCH  # windows of an array looked at together


@dataclass(frozen=True, eq=False)
class Encoding:
    """What `BehaviorModel.encode` gives for B windows.

    ``codes`` int32 (int64 beyond 2^31 - 1 codes) (B, P); ``features`` float32 (B, d * P), the dequantised codes, all
    positions of the first dimension first; ``embeddings`` float32 (B, E).
    """

    codes: NDArray[np.integer]
    features: NDArray[np.float32]
    embeddings: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class BehaviorModel:
    """Loaded by ``conv2d.load(RUN)``; all parts are as they were fitted on ``subjects``.

    The verbs take what a `conv2d.Conv2dClassifier` takes, which holds such a model once it is fitted:

    * *windows*, an array (N, C, S, T) in the data's own units (channels, sensors, samples; (N, C, T) where there is one
      sensor), or an ``xarray.DataArray`` with these dimensions by name. NaN is a missing sample.
    * *recordings*, a `conv2d.Recording`, a list of them, or an opened `conv2d.data.Dataset`. Sensors and channels are
      picked by name. Here a row is a frame: frames lie ``config.data.decode_hop`` samples apart and cover each
      recording from end to end, one recording after the other, in the order given.

    A window has the same probabilities, to the last bit, whatever stands beside it, as long as no missing sample near
    its ends is bridged from beyond them.
    """

    config: Config
    selection: Selection
    network: Conv2dFSQ
    network_subjects: tuple[str, ...]
    preprocess: Preprocess
    decoding: Decoding

    @classmethod
    def load(cls, run: Path) -> "BehaviorModel":
        """Read a run directory; DataError where it is not whole or of an unknown version."""
        try:
            config = load_config(run / "config.yaml", [])
        except ConfigError as error:
            raise DataError(f"E-RUN-006: the config of {run} cannot be read ({error}); copy the run again") from error
        if config.sha256() != check_run(run)["config_sha256"]:
            # half a YAML file is often a whole one: what is cut off would silently take its default
            raise DataError(
                f"E-RUN-006: {run / 'config.yaml'} is not the config that the run was trained with; copy it again"
            )
        try:
            preprocess = Preprocess.from_dict(read_json(run / "preprocess.json"))
            selection = run_files.read_selection(run, preprocess)
            network, subjects = run_files.read_network(run)
            decoding = run_files.read_decoding(run)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"E-RUN-001: a file of {run} lacks what it should hold ({error}); copy the run again"
            ) from error
        run_files.check_classes(run, selection, network, decoding)
        return cls(config, selection, network, subjects, preprocess, decoding)

    @classmethod
    def trained(cls, task: BehaviorTask, network: torch.nn.Module, preprocess: Preprocess) -> "BehaviorModel":
        """The model in memory, the same as a run directory would give back."""
        assert isinstance(network, Conv2dFSQ)
        assert task.decoding is not None  # fit() has run
        return cls(task.config, task.corpus.selection, network, task.corpus.subjects, preprocess, task.decoding)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probability columns."""
        return self.selection.classes

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects that any part has seen in training."""
        return tuple(sorted(set().union(*self.fitted().values())))

    @property
    def levels(self) -> tuple[int, ...] | None:
        """Levels of the codes; None without quantisation."""
        return self.network.architecture.levels

    @property
    def embedding_dim(self) -> int:
        """Length of an embedding."""
        return self.network.architecture.embedding_dim

    def fitted(self) -> dict[str, tuple[str, ...]]:
        """The subjects that each fitted part has seen, for the leak audit."""
        return {
            "network": self.network_subjects,
            "preprocess": self.preprocess.subjects,
            "calibration": self.decoding.temperature.subjects_,
            "decoders": self.decoding.decoders.subjects,
        }

    def read(self, dataset: Dataset, subjects: Iterable[str] | None = None) -> Corpus:
        """Read recordings as this model needs them; another rate, or sensors that are not there, are a DataError."""
        chosen = None if subjects is None else sorted(set(subjects))
        return read_corpus(self.config, dataset, self.selection, chosen, training=False)

    def read_file(self, path: Path) -> Corpus:
        """Read one recording's Parquet file, which needs no labels: those that the model does not know are left out.

        Inside a data set folder its row of ``recordings.csv`` says whose it is and which corrections it needs; a file
        that lies alone is a recording of a subject of its own.
        """
        data, selection = self.config.data, self.selection
        subject, meta, source, simulated = path.stem, dict[str, str](), str(path), False
        folder = Path(os.path.abspath(path)).parent.parent
        if Path(os.path.abspath(path)).parent.name == "recordings" and (folder / "recordings.csv").is_file():
            described = read_meta(folder / "dataset.yaml")
            check_rate(data, described)
            source, simulated = described.name, described.simulated
            row = next((r for r in read_rows(folder / "recordings.csv", described) if r.recording == path.stem), None)
            if row is not None:
                subject, meta = row.subject, dict(row.meta)
        recording = read_recording(
            path,
            sensors=selection.sensors,
            channels=selection.channels,
            rate_hz=data.sampling_rate,
            known_classes=None,
            classes=selection.classes,
            subject=subject,
            meta=meta,
        )
        known = [correction for correction in data.corrections if correction.where in meta]
        corpus = prepare(data, selection, [apply_corrections(recording, known)], source)
        return replace(corpus, simulated=simulated)

    def gather(self, x: Any) -> Corpus:
        """Recordings in memory, or an opened data set, as this model needs them; a warning names those too short."""
        found = recordings_in(x)
        if found is None:
            raise UsageError(
                f"E-API-007: got a {type(x).__name__}, expected a recording, a list of them or an opened data set; "
                "make recordings with conv2d.from_table, or open a folder with conv2d.data.Dataset.open"
            )
        if not self.decoding.decoders:
            raise UsageError(
                "E-API-008: the model was fitted on windows, so it knows no timeline and no frames; cut the recordings "
                "with conv2d.cut_windows, or fit it on recordings"
            )
        if isinstance(found, Dataset):
            corpus = self.read(found)
        else:
            meta = [recording.meta for recording in found]
            known = [c for c in self.config.data.corrections if all(c.where in row for row in meta)]
            corpus = corpus_of_recordings(self.config.data, self.selection, found, known)
        if corpus.too_short:
            warnings.warn(
                f"recording {in_words(corpus.too_short)} is shorter than a window of {corpus.window} samples and has "
                "no frame and no segment",
                stacklevel=3,
            )
        return corpus

    def predict_proba(self, x: Any) -> NDArray[np.float64]:
        """Probabilities (N, K) of windows, or of the frames of recordings: each window alone, calibrated, not smoothed.

        The columns are ``classes``; rows sum to 1. A window without data has the class shares of the training: no
        sensor has half of its samples, where a sample counts if all channels of the sensor have a value. A warning says
        how many windows of an array are so. For recordings these are the columns ``p_<class>`` that ``conv2d run``
        writes.

        Raises
        ------
        UsageError
            Windows of another shape (E-API-002); recordings for a model that was fitted on windows (E-API-008).
        DataError
            Infinite values (E-API-006); recordings that do not fit the model (E-API-003 to -005).
        """
        found = recordings_in(x)
        if found is not None:
            corpus = self.gather(found)
            place = corpus.frames(self.config.data.decode_hop, self.config.data.label_rule)
            return self._proba(corpus, place)
        parts, without = [np.empty((0, len(self.classes)))], 0
        for corpus in self._windows(x):
            place = corpus.windows(corpus.window, "centre")
            parts.append(self._proba(corpus, place))
            without += int((~corpus.laid_out.present(corpus.laid_out.flat(place.recording, place.start))).sum())
        proba = np.concatenate(parts)
        if without:
            warnings.warn(f"{without_data(without, len(proba))}; they get the class shares of training", stacklevel=2)
        return proba

    def predict(self, x: Any) -> NDArray[np.str_]:
        """The likeliest class of each window or frame alone, its name, (N,); see `predict_proba`."""
        names: NDArray[np.str_] = np.asarray(self.classes)
        found: NDArray[np.str_] = names[self.predict_proba(x).argmax(1)]
        return found

    def predict_timeline(self, recordings: Any) -> Timelines:
        """Decode recordings: segments and frames as tables, those that ``conv2d run`` writes.

        Raises
        ------
        UsageError
            No recordings (E-API-007), or a model that was fitted on windows (E-API-008).
        DataError
            Recordings that do not fit the model (E-API-003 to -005), none as long as a window.
        """
        corpus = self.gather(recordings)
        return Timelines(self.apply(corpus, decoders=()), self.classes, corpus.too_short)

    def _proba(self, corpus: Corpus, place: Place) -> NDArray[np.float64]:
        scores = infer(self.network, WindowReader(corpus, self.preprocess), place)
        return self.decoding.calibrate(scores.logits, scores.has_data)

    def _windows(self, x: Any) -> Iterator[Corpus]:
        """Windows of an array, some thousand at a time, so that memory stays bounded."""
        windows = as_windows(x, self.selection, self.config.data.window_size)
        for at in range(0, len(windows), CHUNK):
            yield corpus_of_windows(self.config.data, self.selection, windows[at : at + CHUNK])

    def apply(self, corpus: Corpus, *, decoders: Iterable[str] | None = None) -> list[Result]:
        """Frames, probabilities and timelines of every recording of a corpus.

        ``decoders`` names those to decode by, None for all; the experiment's own is always among them.
        """
        reader, hop = WindowReader(corpus, self.preprocess), self.config.data.decode_hop
        place = corpus.frames(hop, self.config.data.label_rule)
        by_name = {recording.name: recording for recording in corpus.recordings}
        frames = to_frames(corpus, infer(self.network, reader, place))
        names = set(self.decoding.decoders if decoders is None else decoders) | {self.decoding.name}
        return [decode(by_name[frame.recording], frame, self.decoding, hop, names) for frame in frames]

    @torch.inference_mode()
    def encode(self, x: Any) -> Encoding:
        """Codes, features and embeddings of windows (B, C, S, T) in the data's own units; NaN is a missing sample.

        Of recordings, those of their frames, a row a frame.

        Raises
        ------
        UsageError
            Another shape than the network was trained with; a network without quantisation.
        """
        a = self.network.architecture
        if a.levels is None:
            raise UsageError("E-FSQ-002: the model has no quantisation, so it has no codes; train one with type: fsq")
        found = recordings_in(x)
        batches = self._batches(x) if found is None else self._frame_batches(self.gather(found))
        parts = [self._encode(batch) for batch in batches]
        return Encoding(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _batches(self, x: Any) -> Iterator[Tensor]:
        a = self.network.architecture
        expected = (len(self.selection.channels), len(self.selection.sensors), a.window)
        x = np.asarray(unmasked(x))
        if x.ndim != 4 or x.shape[1:] != expected:
            names = f"{', '.join(self.selection.channels)} of {', '.join(self.selection.sensors)}"
            raise UsageError(
                f"E-FSQ-001: windows have shape {x.shape}, the model was trained with "
                f"(B, {expected[0]}, {expected[1]}, {expected[2]}): {names}; cut windows like those"
            )
        x = np.ascontiguousarray(x, np.float32)
        for at in range(0, max(len(x), 1), BATCH):
            yield torch.from_numpy(x[at : at + BATCH])

    def _frame_batches(self, corpus: Corpus) -> Iterator[Tensor]:
        place = corpus.frames(self.config.data.decode_hop, self.config.data.label_rule)
        flat = corpus.laid_out.flat(place.recording, place.start)
        for at in range(0, len(flat), BATCH):
            yield corpus.laid_out.windows(flat[at : at + BATCH])

    def _encode(self, x: Tensor) -> tuple[NDArray[np.integer], NDArray[np.float32], NDArray[np.float32]]:
        a = self.network.architecture
        output = forward(self.network, self.preprocess.apply(x))
        assert a.levels is not None  # the caller has looked
        assert output.projection is not None
        rows = output.projection.transpose(1, 2).reshape(-1, len(a.levels)).contiguous().numpy()
        codes = fsq_encode(rows, a.levels).reshape(len(x), a.positions)
        return codes, output.features.flatten(1).numpy(), output.embedding.numpy()

    def __getstate__(self) -> dict[str, Any]:
        """Plain values and NumPy arrays: a pickle needs no device, and no generator is touched when it is opened."""
        weights = {name: tensor.numpy().copy() for name, tensor in self.network.state_dict().items()}
        return {**self.__dict__, "network": (self.network.architecture, weights)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Build the network again, on the CPU."""
        architecture, weights = state["network"]
        network = run_files.new_network(architecture)
        network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
        fitted = state["preprocess"]
        # copies: arrays that joblib maps from a file cannot be written to, which torch warns of
        own = replace(fitted, offset=np.array(fitted.offset), scale=np.array(fitted.scale))
        self.__dict__.update({**state, "network": network.eval(), "preprocess": own})
