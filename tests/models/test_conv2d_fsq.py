"""The network takes any (C, S, T), stays small, and holds only what an accelerator takes up to the projection."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from conv2d.config import default_config
from conv2d.errors import UsageError
from conv2d.models.conv2d_fsq import Architecture, Conv2dFSQ


@pytest.mark.parametrize("levels", [(8, 6, 5), None])
@pytest.mark.parametrize(
    ("channels", "sensors", "window", "positions"),
    [(9, 2, 100, 12), (6, 1, 128, 16), (1, 1, 8, 1), (3, 5, 37, 4), (4, 16, 300, 37), (9, 2, 100, 25)],
)
def test_shapes(channels: int, sensors: int, window: int, positions: int, levels: tuple[int, ...] | None) -> None:
    architecture = Architecture(channels, sensors, window, classes=4, positions=positions, levels=levels)
    output = Conv2dFSQ(architecture).eval()(torch.randn(3, channels, sensors, window))
    assert output.logits.shape == (3, 4)
    assert output.embedding.shape == (3, architecture.embedding_dim)
    assert output.features.shape[::2] == (3, positions)
    if levels is None:
        assert output.projection is None
    else:
        assert output.projection is not None
        assert output.projection.shape == (3, len(levels), positions)


@given(st.integers(4, 400), st.integers(1, 100))
def test_as_many_positions_as_asked_for_or_a_sentence(window: int, positions: int) -> None:
    architecture = Architecture(1, 1, window, classes=2, width=4, positions=positions)
    if positions > -(-window // 4):
        with pytest.raises(UsageError, match=f"{positions} codes were asked for in windows of {window} samples"):
            Conv2dFSQ(architecture)
        return
    network = Conv2dFSQ(architecture).eval()
    assert network(torch.randn(1, 1, 1, window)).projection.shape[2] == positions
    # Every column of the encoder is looked at: a change anywhere in the window reaches the pooled features.
    columns = -(-window // 4)
    stride = columns // positions
    assert network.encoder.pool.kernel_size[1] + (positions - 1) * stride == columns


def test_the_encoder_exports_with_the_operators_of_a_compiler() -> None:
    network = Conv2dFSQ(Architecture(9, 2, 100, 3, positions=12)).eval()
    part = nn.Sequential(network.encoder, network.project)
    program = torch.export.export(part, (torch.randn(1, 9, 2, 100),))
    used = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert used == {
        "aten.conv2d.default", "aten.conv1d.default", "aten.batch_norm.default", "aten.relu.default",
        "aten.avg_pool2d.default", "aten.squeeze.dim",
    }  # fmt: skip


@pytest.mark.parametrize("sensors", [1, 2, 9, 10, 17, 24, 25, 64, 65, 256])
def test_the_default_is_small_for_any_number_of_sensors(sensors: int) -> None:
    names = [f"s{number}" for number in range(sensors)]
    facts = SimpleNamespace(name="x", rate_hz=400, sensors=names, channels=["acc_x"], classes=["a", "b"])
    config, _ = default_config(facts)
    width, positions = config.model.architecture.width, config.model.architecture.quantization.positions
    network = Conv2dFSQ(Architecture(20, sensors, config.data.window_size, 20, width=width, positions=positions))
    assert sum(weight.numel() for weight in network.parameters()) < 150_000


def test_up_to_the_projection_there_is_only_what_a_hailo_8_takes() -> None:
    network = Conv2dFSQ(Architecture(9, 2, 100, 12))
    allowed = nn.Conv2d | nn.Conv1d | nn.BatchNorm2d | nn.BatchNorm1d | nn.ReLU | nn.AvgPool2d | nn.Sequential
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
