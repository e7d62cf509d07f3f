"""The network takes any (C, S, T), stays small, and holds only what an accelerator takes up to the projection."""

import pytest
import torch
from torch import nn

from conv2d.models.conv2d_fsq import Architecture, Conv2dFSQ


@pytest.mark.parametrize("levels", [(8, 6, 5), None])
@pytest.mark.parametrize(
    ("channels", "sensors", "window"), [(9, 2, 100), (6, 1, 128), (1, 1, 8), (3, 5, 37), (4, 16, 300)]
)
def test_shapes(channels: int, sensors: int, window: int, levels: tuple[int, ...] | None) -> None:
    architecture = Architecture(channels, sensors, window, classes=4, positions=8, levels=levels)
    output = Conv2dFSQ(architecture).eval()(torch.randn(3, channels, sensors, window))
    assert output.logits.shape == (3, 4)
    assert output.embedding.shape == (3, architecture.embedding_dim)
    assert output.features.shape[::2] == (3, 8)
    if levels is None:
        assert output.projection is None
    else:
        assert output.projection is not None
        assert output.projection.shape == (3, len(levels), 8)


def test_the_default_is_small() -> None:
    network = Conv2dFSQ(Architecture(9, 2, 100, 12))
    assert sum(weight.numel() for weight in network.parameters()) < 150_000


def test_up_to_the_projection_there_is_only_what_a_hailo_8_takes() -> None:
    network = Conv2dFSQ(Architecture(9, 2, 100, 12))
    allowed = nn.Conv2d | nn.Conv1d | nn.BatchNorm2d | nn.BatchNorm1d | nn.ReLU | nn.AdaptiveAvgPool2d | nn.Sequential
    for part in (*network.encoder.modules(), *network.project.modules()):
        assert part is network.encoder or isinstance(part, allowed), part


def test_both_sensors_reach_the_codes() -> None:
    torch.manual_seed(0)
    network = Conv2dFSQ(Architecture(6, 2, 100, 3)).eval()
    x = torch.randn(1, 6, 2, 100)
    for sensor in range(2):
        changed = x.clone()
        changed[:, :, sensor] += 1
        assert not torch.equal(network(x).projection, network(changed).projection)
