"""Finite scalar quantisation (FSQ) inside a network: the same thresholds as the native core, with a gradient.

Source: Mentzer, Minnen, Agustsson and Tschannen, *Finite Scalar Quantization: VQ-VAE Made Simple*, ICLR 2024.
"""

from collections.abc import Sequence
from math import atanh

import numpy as np
import torch
from torch import Tensor, nn

from conv2d_core import fsq_thresholds


class FSQ(nn.Module):
    """Round each of ``d`` projected channels to one of ``levels[i]`` values, straight-through for the gradient.

    The digit of a channel is the number of thresholds at or below its value; the thresholds come from
    ``conv2d_core.fsq_thresholds``, so that a code is the same in training, in the native core and on a device
    whenever the projection is the same. tanh serves the gradient only.

    Parameters
    ----------
    levels : number of values of each channel, each 2 to 255.
    """

    half_width: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.levels = tuple(int(level) for level in levels)
        count = torch.tensor(self.levels, dtype=torch.float64)
        half = (count - 1) * (1 + 1e-3) / 2
        offset = torch.where(count % 2 == 0, 0.5, 0.0)
        shift = torch.tensor([atanh(float(o / h)) for o, h in zip(offset, half, strict=True)])
        self.register_buffer("scale", half.float()[:, None], persistent=False)
        self.register_buffer("offset", offset.float()[:, None], persistent=False)
        self.register_buffer("shift", shift.float()[:, None], persistent=False)
        self.register_buffer("half_width", (count // 2).float()[:, None], persistent=False)
        # One row of thresholds a channel, padded with what none reaches; inf could not be averaged.
        rows = np.full((len(self.levels), max(self.levels) - 1), np.finfo(np.float32).max, np.float32)
        for row, level in zip(rows, self.levels, strict=True):
            row[: level - 1] = fsq_thresholds(level)
        self.register_buffer("thresholds", torch.from_numpy(rows), persistent=False)

    def digits(self, z: Tensor) -> Tensor:
        """Digit of each channel, (B, d, P) float32 -> (B, d, P) int64 in 0 .. level - 1."""
        thresholds = self.get_buffer("thresholds")
        return (z.unsqueeze(-1) >= thresholds[:, None, :]).sum(-1)

    def forward(self, z: Tensor) -> Tensor:
        """Dequantised values in [-1, 1], (B, d, P) -> (B, d, P); the gradient is that of the bounded projection."""
        bounded = torch.tanh(z + self.get_buffer("shift")) * self.get_buffer("scale") - self.get_buffer("offset")
        rounded = self.digits(z).to(z.dtype) - self.half_width
        return (bounded + (rounded - bounded).detach()) / self.half_width
