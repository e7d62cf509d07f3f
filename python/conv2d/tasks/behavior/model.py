"""A trained behaviour model: recordings in, codes, probabilities and timelines out."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from conv2d.config import Config, load_config
from conv2d.data import Dataset
from conv2d.errors import DataError, UsageError
from conv2d.files import read_json
from conv2d.models.conv2d_fsq import Conv2dFSQ
from conv2d.tasks.behavior import run_files
from conv2d.tasks.behavior.corpus import Corpus, Selection, read_corpus
from conv2d.tasks.behavior.decoding import Decoding
from conv2d.tasks.behavior.inference import infer, to_frames
from conv2d.tasks.behavior.preprocess import Preprocess, WindowReader
from conv2d.tasks.behavior.timeline import Result, decode
from conv2d.training.run_directory import check_run
from conv2d_core import fsq_encode


@dataclass(frozen=True, eq=False)
class Encoding:
    """What `BehaviorModel.encode` gives for B windows.

    ``codes`` int32 (int64 beyond 2^31 - 1 codes) (B, P); ``features`` float32 (B, P * d), the dequantised codes;
    ``embeddings`` float32 (B, E).
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
    preprocess: Preprocess
    decoding: Decoding

    @classmethod
    def load(cls, run: Path) -> "BehaviorModel":
        """Read a run directory; DataError where it is not whole or of an unknown version."""
        config = load_config(run / "config.yaml", [])
        if config.sha256() != check_run(run)["config_sha256"]:
            # half a YAML file is often a whole one: what is cut off would silently take its default
            raise DataError(
                f"E-RUN-006: {run / 'config.yaml'} is not the config that the run was trained with; copy it again"
            )
        preprocess = Preprocess.from_dict(read_json(run / "preprocess.json"))
        selection = run_files.read_selection(run, preprocess)
        return cls(config, selection, run_files.read_network(run), preprocess, run_files.read_decoding(run))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probability columns."""
        return self.selection.classes

    @property
    def subjects(self) -> tuple[str, ...]:
        """Subjects that training has seen, in any of its parts."""
        return self.preprocess.subjects

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
        parts = ("network", "preprocess", "calibration", "decoders")
        return dict.fromkeys(parts, self.subjects)

    def read(self, dataset: Dataset, subjects: Iterable[str] | None = None) -> Corpus:
        """Read recordings as this model needs them; another rate, or sensors that are not there, are a DataError."""
        return read_corpus(self.config, dataset, self.selection, None if subjects is None else sorted(set(subjects)))

    def read_one(self, dataset: Dataset, recording: str) -> Corpus:
        """Read a single recording; the same checks as for many."""
        return read_corpus(self.config, dataset, self.selection, recordings=[recording])

    def apply(self, corpus: Corpus) -> list[Result]:
        """Frames, probabilities and timelines of every recording of a corpus."""
        reader, hop = WindowReader(corpus, self.preprocess), self.config.data.decode_hop
        place = corpus.windows(hop, self.config.data.label_rule)
        by_name = {recording.name: recording for recording in corpus.recordings}
        frames = to_frames(corpus, infer(self.network, reader, place))
        return [decode(by_name[frame.recording], frame, self.decoding, hop) for frame in frames]

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
        output = self.network(self.preprocess.apply(torch.from_numpy(np.ascontiguousarray(x, np.float32))))
        assert output.projection is not None  # a.levels is set
        rows = output.projection.transpose(1, 2).reshape(-1, len(a.levels)).contiguous().numpy()
        return Encoding(
            fsq_encode(rows, a.levels).reshape(len(x), a.positions),
            output.features.flatten(1).numpy(),
            output.embedding.numpy(),
        )
