"""Augmentation changes what it says, keeps what a label rests on, and is the same for the same seed."""

import numpy as np
import pytest
import torch

from conv2d.config import Augmentation
from conv2d.data.augmentation import Augmenter, random_rotations

CHANNELS = ["acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z", "pressure"]
ALL = Augmentation(rotation_deg=30, scaling=0.1, jitter=0.03, time_warp=0.1, sensor_dropout=0.3, mixup=0.4)


def only(**strength: float) -> Augmentation:
    return Augmentation(**{"rotation_deg": 0.0, "scaling": 0.0, "jitter": 0.0, **strength})


def windows(batch: int = 64, length: int = 50) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(batch, len(CHANNELS), 2, length, generator=generator)
    return x, torch.eye(3)[torch.arange(batch) % 3]


def test_the_same_seed_gives_the_same_windows_and_leaves_the_input_alone() -> None:
    x, y = windows()
    before = x.clone()
    first, second = (Augmenter(ALL, CHANNELS, seed=3)(x, y) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert torch.equal(x, before)
    assert not torch.equal(Augmenter(ALL, CHANNELS, seed=4)(x, y)[0], first[0])


@pytest.mark.parametrize("degrees", [10.0, 180.0])
def test_rotation_keeps_lengths_and_the_angle_between_vectors_of_one_sensor(degrees: float) -> None:
    x, y = windows()
    turned, _ = Augmenter(only(rotation_deg=degrees), CHANNELS, 0)(x, y)
    for part in (slice(0, 3), slice(3, 6)):
        assert torch.allclose(turned[:, part].norm(dim=1), x[:, part].norm(dim=1), atol=1e-4)
    # accelerometer and gyroscope turn together
    assert torch.allclose((turned[:, :3] * turned[:, 3:6]).sum(1), (x[:, :3] * x[:, 3:6]).sum(1), atol=1e-3)
    assert torch.equal(turned[:, 6], x[:, 6])
    assert not torch.allclose(turned[:, :3, 0], turned[:, :3, 1], atol=1e-2)


def test_small_rotations_have_the_angle_asked_for() -> None:
    matrices = random_rotations(4000, 10.0, torch.Generator().manual_seed(0))
    identity = torch.eye(3).expand_as(matrices)
    assert torch.allclose(matrices @ matrices.transpose(1, 2), identity, atol=1e-5)
    trace = matrices.diagonal(dim1=1, dim2=2).sum(1)
    angle = torch.rad2deg(torch.arccos(((trace - 1) / 2).clamp(-1, 1)))
    assert angle.square().mean().sqrt().item() == pytest.approx(10, rel=0.05)


def test_any_orientation_is_uniform() -> None:
    turned = random_rotations(20_000, 180.0, torch.Generator().manual_seed(0)) @ torch.tensor([0.0, 0.0, 1.0])
    assert turned.mean(0).abs().max().item() < 0.03
    assert turned.square().mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.02)


def test_a_sensor_is_dropped_but_never_the_last() -> None:
    x, y = windows(2000)
    dropped, _ = Augmenter(only(sensor_dropout=0.5), CHANNELS, 0)(x, y)
    gone = (dropped == 0).all(3).all(1)
    assert not gone.all(1).any()
    assert gone.any(1).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_time_warp_holds_the_centre_and_stays_within_the_values() -> None:
    ramp = torch.arange(51.0).expand(200, 1, 1, -1)
    warped, _ = Augmenter(only(time_warp=0.2), ["pressure"], 0)(ramp, torch.ones(200, 1))
    assert torch.allclose(warped[..., 25], torch.tensor(25.0))
    speed = (warped[..., 30] - warped[..., 20]) / 10
    assert 0.8 <= speed.min().item() < 0.85
    assert 1.15 < speed.max().item() <= 1.2
    assert warped.min() >= 0
    assert warped.max() <= 50


def test_mixup_mixes_windows_and_labels_alike() -> None:
    x, y = torch.arange(64.0).view(-1, 1, 1, 1).expand(-1, 1, 1, 4), torch.eye(64)
    mixed, shares = Augmenter(only(mixup=0.5), ["pressure"], 0)(x, y)
    assert torch.allclose(shares.sum(1), torch.ones(64))
    assert torch.allclose((shares * torch.arange(64.0)).sum(1), mixed[:, 0, 0, 0], atol=1e-4)
    assert np.all(shares.diagonal().numpy() >= 0.5)
