"""Random changes to a batch of training windows that leave its label true, all in torch and all seeded.

Each takes and returns (B, C, S, T) float32. Windows are scaled per triad and have no offset, so that a rotation
commutes with the scaling.
"""

from collections.abc import Sequence
from math import pi

import numpy as np
import torch
from torch import Tensor

from conv2d.config import ANY_ORIENTATION_DEG, Augmentation
from conv2d.data.channels import triads


def random_rotations(count: int, degrees: float, generator: torch.Generator) -> Tensor:
    """Rotation matrices (count, 3, 3): a uniform axis and a normal angle; from 120 degrees on uniform rotations."""
    if (
        degrees >= ANY_ORIENTATION_DEG
    ):  # a normal angle this wide is neither small nor uniform: draw Haar-uniform quaternions
        quaternion = torch.randn(count, 4, generator=generator)
    else:
        axis = torch.randn(count, 3, generator=generator)
        axis = axis / axis.norm(dim=1, keepdim=True).clamp_min(1e-6)
        angle = torch.randn(count, 1, generator=generator) * (degrees * pi / 180)
        quaternion = torch.cat([torch.cos(angle / 2), torch.sin(angle / 2) * axis], 1)
    w, x, y, z = (quaternion / quaternion.norm(dim=1, keepdim=True).clamp_min(1e-6)).unbind(1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        1,
    ).view(count, 3, 3)  # fmt: skip


class Augmenter:
    """All changes in one call, drawn from one generator: ``augment(x, y_onehot) -> x, y_onehot``.

    Strengths (``conv2d.config.Augmentation``; zero turns a change off): ``rotation_deg``, standard deviation of the
    angle about a random axis, one rotation a sensor; ``scaling``, standard deviation of the factor of a vector;
    ``jitter``, that of the noise added to each sample, in scaled units; ``time_warp``, largest relative change of
    speed; ``sensor_dropout``, probability that a sensor is missing, never the only one; ``mixup``, the parameter of
    Beta(mixup, mixup), the share of a second window.
    """

    def __init__(self, settings: Augmentation, channels: Sequence[str], seed: int) -> None:
        self.settings = settings
        self.triads = [list(axes) for _, axes in triads(channels)]
        self.generator = torch.Generator().manual_seed(seed)
        self.random = np.random.default_rng(seed)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, S, T) windows and (B, K) label shares, changed; the input is left as it was."""
        x = x.clone()
        if self.settings.time_warp:
            x = self._warp(x)
        if self.settings.rotation_deg:
            self._rotate(x)
        if self.settings.scaling:
            self._scale(x)
        if self.settings.jitter:
            x += self.settings.jitter * self._normal(x.shape, x)
        if self.settings.sensor_dropout and x.shape[2] > 1:
            self._drop_sensors(x)
        return self._mix(x, y) if self.settings.mixup else (x, y)

    def _normal(self, shape: Sequence[int], like: Tensor) -> Tensor:
        return torch.randn(tuple(shape), generator=self.generator).to(like)

    def _uniform(self, shape: Sequence[int], like: Tensor) -> Tensor:
        return torch.rand(tuple(shape), generator=self.generator).to(like)

    def _rotate(self, x: Tensor) -> None:
        batch, _, sensors, _ = x.shape
        # One rotation a sensor: accelerometer and gyroscope sit on the same board and turn together.
        matrix = random_rotations(batch * sensors, self.settings.rotation_deg, self.generator).to(x)
        matrix = matrix.view(batch, sensors, 3, 3)
        for triad in self.triads:
            x[:, triad] = torch.einsum("bsij,bjst->bist", matrix, x[:, triad])

    def _scale(self, x: Tensor) -> None:
        batch, channels, sensors, _ = x.shape
        factor = 1 + self.settings.scaling * self._normal((batch, channels, sensors, 1), x)
        for triad in self.triads:  # the parts of a vector keep their ratio
            factor[:, triad] = factor[:, triad[:1]]
        x *= factor.clamp_min(0.2)

    def _warp(self, x: Tensor) -> Tensor:
        """Play each window faster or slower about its centre, read linearly; the ends hold."""
        batch, _, _, length = x.shape
        speed = 1 + self.settings.time_warp * (2 * self._uniform((batch, 1), x) - 1)
        centre = (length - 1) / 2
        at = ((torch.arange(length).to(x) - centre)[None] * speed + centre).clamp(0, length - 1)
        low = at.floor().clamp_max(length - 2)
        share = (at - low)[:, None, None]
        index = low.long()[:, None, None].expand(-1, x.shape[1], x.shape[2], -1)
        return x.gather(3, index) * (1 - share) + x.gather(3, index + 1) * share

    def _drop_sensors(self, x: Tensor) -> None:
        batch, _, sensors, _ = x.shape
        missing = self._uniform((batch, sensors), x) < self.settings.sensor_dropout
        missing &= ~missing.all(1, keepdim=True)
        x.masked_fill_(missing[:, None, :, None], 0.0)

    def _mix(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # torch draws no Beta from a generator of one's own; numpy does
        drawn = self.random.beta(self.settings.mixup, self.settings.mixup, (x.shape[0], 1))
        share = torch.from_numpy(np.maximum(drawn, 1 - drawn)).to(x)
        other = torch.randperm(x.shape[0], generator=self.generator).to(x.device)
        return x * share[..., None, None] + x[other] * (1 - share[..., None, None]), y * share + y[other] * (1 - share)
