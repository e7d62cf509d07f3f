"""A trained behaviour model: recordings in, codes, probabilities and timelines out."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from conv2d.config import Config, load_config
from conv2d.data import Dataset
from conv2d.data.corrections import apply_corrections
from conv2d.data.meta import read_meta, read_rows
from conv2d.data.recording_file import read_recording
from conv2d.errors import ConfigError, DataError, UsageError
from conv2d.files import read_json
from conv2d.models.conv2d_fsq import Conv2dFSQ
from conv2d.tasks.behavior import run_files
from conv2d.tasks.behavior.corpus import Corpus, Selection, check_rate, prepare, read_corpus
from conv2d.tasks.behavior.decoding import Decoding
from conv2d.tasks.behavior.inference import BATCH, infer, to_frames
from conv2d.tasks.behavior.preprocess import Preprocess, WindowReader
from conv2d.tasks.behavior.timeline import Result, decode
from conv2d.training.run_directory import check_run
from conv2d_core import fsq_encode


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
    """Loaded by ``conv2d.load(RUN)``; all parts are as they were fitted on ``subjects``."""

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
    def encode(self, x: NDArray[np.float32]) -> Encoding:
        """Codes, features and embeddings of windows (B, C, S, T) in the data's own units; NaN is a missing sample.

        Raises
        ------
        UsageError
            Another shape than the network was trained with; a network without quantisation.
        """
        a = self.network.architecture
        expected = (len(self.selection.channels), len(self.selection.sensors), a.window)
        x = np.asarray(x)
        if x.ndim != 4 or x.shape[1:] != expected:
            names = f"{', '.join(self.selection.channels)} of {', '.join(self.selection.sensors)}"
            raise UsageError(
                f"E-FSQ-001: windows have shape {x.shape}, the model was trained with "
                f"(B, {expected[0]}, {expected[1]}, {expected[2]}): {names}; cut windows like those"
            )
        if a.levels is None:
            raise UsageError("E-FSQ-002: the model has no quantisation, so it has no codes; train one with type: fsq")
        x = np.ascontiguousarray(x, np.float32)
        parts = [self._encode(x[at : at + BATCH]) for at in range(0, max(len(x), 1), BATCH)]
        return Encoding(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _encode(self, x: NDArray[np.float32]) -> tuple[NDArray[np.integer], NDArray[np.float32], NDArray[np.float32]]:
        a = self.network.architecture
        output = self.network(self.preprocess.apply(torch.from_numpy(x)))
        assert a.levels is not None  # the caller has looked
        rows = output.projection.transpose(1, 2).reshape(-1, len(a.levels)).contiguous().numpy()
        codes = fsq_encode(rows, a.levels).reshape(len(x), a.positions)
        return codes, output.features.flatten(1).numpy(), output.embedding.numpy()
