"""Training windows of the behaviour task: densely placed, drawn so that rare behaviours are seen, changed at random."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from conv2d.config import Training
from conv2d.data.augmentation import Augmenter
from conv2d.tasks.behavior.corpus import Place
from conv2d.tasks.behavior.preprocess import WindowReader

EXPONENT = {"none": 0.0, "sqrt": 0.5, "balanced": 1.0}


def class_chance(label: NDArray[np.int64], classes: int, rule: str) -> NDArray[np.float64]:
    """How much more often than in nature each class is drawn, (K,): share ** -exponent, 1 for a class never seen.

    >>> class_chance(np.array([0, 0, 0, 0, 1]), 2, "sqrt").round(2).tolist()
    [1.12, 2.24]
    """
    share = np.bincount(label, minlength=classes) / max(len(label), 1)
    return np.where(share > 0, np.where(share > 0, share, 1) ** -EXPONENT[rule], 1.0)


class BehaviorSource:
    """A ``WindowSource``: scaled and augmented windows (B, C', S, T) and shares of each class (B, K)."""

    def __init__(
        self, reader: WindowReader, place: Place, settings: Training, classes: int, channels: tuple[str, ...], seed: int
    ) -> None:
        self.reader, self.settings, self.classes, self.seed = reader, settings, classes, seed
        self.channels = channels
        self.flat = reader.flat(place)
        self.label = torch.from_numpy(place.label)
        chance = class_chance(place.label, classes, settings.class_weights)
        self.weights = None if settings.class_weights == "none" else chance[place.label]
        self.start_epoch(0)

    def __len__(self) -> int:
        return len(self.flat)

    def start_epoch(self, epoch: int) -> None:
        """A new generator for the changes of this epoch."""
        self.augment = Augmenter(self.settings.augmentation, self.channels, self.seed * 100_003 + epoch)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Windows as the network takes them, and class shares, which mixup makes soft."""
        scaled = self.reader.scaled(self.flat[indices])
        x, y = self.augment(scaled, one_hot(self.label[indices], self.classes).to(scaled.dtype))
        return self.reader.preprocess.extended(x), y
