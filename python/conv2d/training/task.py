"""What the engine asks of a kind of work; ``conv2d.tasks`` holds those that answer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

Loss = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Network, inputs and targets to the loss (scalar) and the scores (B, K) it was computed from."""

Part = TypeVar("Part")
Preprocess = TypeVar("Preprocess")
Prediction = TypeVar("Prediction")


class WindowSource(Protocol):
    """Training windows by number, drawn and changed at random; everything random follows from seed and epoch."""

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """Chance of each window to be drawn, up to a factor; None draws all alike."""

    def __len__(self) -> int:
        """Number of windows to draw from."""

    def start_epoch(self, epoch: int) -> None:
        """Seed what is random in ``batch`` anew, so that training resumed at an epoch goes on as if never stopped."""

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets of some windows."""


class Task(Protocol[Part, Preprocess, Prediction]):
    """One kind of work on the training recordings it was made with: data, network, loss, decoding, results."""

    name: str

    def whole(self) -> Part:
        """All training data."""

    def inner_parts(self) -> Sequence[tuple[Part, Part]]:
        """Inner folds (train, held out), by subject where there are three or more."""

    def fit_preprocess(self, part: Part) -> Preprocess:
        """Fit what is fixed before training (scales) on a part."""

    def source(self, part: Part, preprocess: Preprocess, seed: int) -> WindowSource:
        """Training windows of a part."""

    def network(self) -> nn.Module:
        """A new network; the caller has seeded torch."""

    def loss(self, part: Part) -> Loss:
        """The loss of training on a part."""

    def predict(self, network: nn.Module, preprocess: Preprocess, part: Part) -> Prediction:
        """What the network says of a part, nothing fitted on top yet."""

    def score(self, network: nn.Module, preprocess: Preprocess, part: Part) -> dict[str, float]:
        """Figures of a held-out part for ``history.csv``, cheap enough to be taken a few times in a training."""

    def fit_decoding(self, out_of_fold: Sequence[Prediction]) -> None:
        """Fit calibration and decoders from predictions, each by a network that saw none of what it predicts."""

    def save(self, folder: Path, network: nn.Module, preprocess: Preprocess) -> dict[str, object]:
        """Write the task's own files into a run directory; returns the figures for its ``metrics.json``."""
