"""``conv2d_fsq``: convolutions over time and across sensors, FSQ codes over a few positions, a small head."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from conv2d.errors import UsageError
from conv2d.models.quantizers import FSQ


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the network again; stored in ``model.json``."""

    channels: int
    sensors: int
    window: int
    classes: int
    width: int = 32
    positions: int = 16
    levels: tuple[int, ...] | None = (8, 8, 5, 5, 5)
    embedding_dim: int = 64
    dropout: float = 0.3

    def to_dict(self) -> dict[str, object]:
        """Plain types for JSON."""
        return asdict(self)


class Output(NamedTuple):
    """What one forward pass gives; ``projection`` is None without quantisation."""

    logits: Tensor  # (B, classes)
    embedding: Tensor  # (B, embedding_dim)
    features: Tensor  # (B, F, P): dequantised codes, or the encoder's own features
    projection: Tensor | None  # (B, d, P): what is rounded to codes


def _convolution(inside: int, outside: int, kernel: tuple[int, int], stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU: nothing else, so that an accelerator's compiler can fuse and quantise it."""
    padding = (0, kernel[1] // 2)
    layer = nn.Conv2d(inside, outside, kernel, (1, stride), padding, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outside), nn.ReLU())


def _halved(length: int) -> int:
    """Length after a convolution with stride 2 whose padding keeps the ends."""
    return (length - 1) // 2 + 1


class Encoder(nn.Module):
    """(B, C, S, T) -> (B, F, P): per sensor over time, then across sensors, then pooled to P positions."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        width, sensors = architecture.width, architecture.sensors
        self.outside = 3 * width
        self.layers = nn.Sequential(
            _convolution(architecture.channels, width, (1, 9), 2),
            _convolution(width, 2 * width, (1, 5), 2),
            _convolution(2 * width, 2 * width, (1, 5)),
            _convolution(2 * width, self.outside, (sensors, 1)),
            _convolution(self.outside, self.outside, (1, 3)),
        )
        columns = _halved(_halved(architecture.window))
        if architecture.positions > columns:
            raise UsageError(
                f"E-MODEL-001: {architecture.positions} codes were asked for in windows of {architecture.window} "
                f"samples, which leave {columns} columns; set model.architecture.quantization.positions to that or less"
            )
        # A fixed window and stride: adaptive pooling does not export where the columns do not divide evenly.
        stride = columns // architecture.positions
        self.pool = nn.AvgPool2d((1, columns - (architecture.positions - 1) * stride), (1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """Features of each position, never negative."""
        features: Tensor = self.pool(self.layers(x)).squeeze(2)
        return features


class Head(nn.Module):
    """(B, F, P) -> logits and embedding.

    A convolution over positions, then for each of its channels the maximum and a few learned weightings of the
    positions: a mean alone would not know on which side of the centre a behaviour begins.
    """

    WEIGHTINGS = 4

    def __init__(self, inside: int, architecture: Architecture) -> None:
        super().__init__()
        hidden = 2 * architecture.width
        self.mix = nn.Sequential(nn.Conv1d(inside, hidden, 3, padding=1, bias=False), nn.BatchNorm1d(hidden), nn.ReLU())
        self.place = nn.Linear(architecture.positions, self.WEIGHTINGS, bias=False)
        self.embed = nn.Linear((self.WEIGHTINGS + 1) * hidden, architecture.embedding_dim)
        self.dropout = nn.Dropout(architecture.dropout)
        self.classify = nn.Linear(architecture.embedding_dim, architecture.classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K) and embedding (B, E)."""
        mixed = self.mix(features)
        pooled = torch.cat([self.place(mixed).flatten(1), mixed.amax(-1)], 1)
        embedding = torch.relu(self.embed(self.dropout(pooled)))
        return self.classify(self.dropout(embedding)), embedding


class Conv2dFSQ(nn.Module):
    """The whole network; ``architecture.levels=None`` turns quantisation off and hands the features on as they are."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.encoder = Encoder(architecture)
        levels: Sequence[int] | None = architecture.levels
        self.quantizer = FSQ(levels) if levels is not None else None
        dimensions = len(levels) if levels is not None else self.encoder.outside
        # Batch norm spreads the projection over the levels of every dimension; it folds into the convolution.
        self.project = (
            nn.Sequential(nn.Conv1d(self.encoder.outside, dimensions, 1, bias=False), nn.BatchNorm1d(dimensions))
            if levels is not None
            else nn.Identity()
        )
        self.head = Head(dimensions, architecture)

    def forward(self, x: Tensor) -> Output:
        """(B, C, S, T) float32 -> logits, embedding, features and projection."""
        projection = self.project(self.encoder(x))
        features = self.quantizer(projection) if self.quantizer is not None else projection
        logits, embedding = self.head(features)
        return Output(logits, embedding, features, projection if self.quantizer is not None else None)
