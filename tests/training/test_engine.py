"""The engine: same seed, same weights; stopped and gone on with, same weights; history says what happened."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from conv2d.config import Training
from conv2d.errors import UsageError
from conv2d.logging.progress import NullProgress
from conv2d.training.engine import CHECKPOINT, optimise


class Clouds:
    """Two clouds of points; a fresh noise every epoch, so that a wrong seed shows."""

    def __init__(self, weights: np.ndarray | None = None) -> None:
        generator = torch.Generator().manual_seed(0)
        self.label = torch.arange(200) % 2
        self.x = torch.randn(200, 4, generator=generator) + 2.0 * self.label[:, None]
        self.weights = weights
        self.drawn: list[Tensor] = []
        self.start_epoch(0)

    def __len__(self) -> int:
        return len(self.x)

    def start_epoch(self, epoch: int) -> None:
        self.generator = torch.Generator().manual_seed(epoch)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        self.drawn.append(indices)
        noise = 0.1 * torch.randn(len(indices), 4, generator=self.generator)
        return self.x[indices] + noise, nn.functional.one_hot(self.label[indices], 2).float()


class Stop(Exception):
    pass


def loss(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    scores = network(inputs)
    return nn.functional.cross_entropy(scores, targets), scores


def new_network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 2))


def train(folder: Path | None = None, source: Clouds | None = None, validate=None, seed: int = 1, **changes):
    settings = Training(epochs=4, windows_per_epoch=64, batch_size=16, **changes)
    network = new_network()
    task = NullProgress().task("test")
    rows = optimise(
        network, source or Clouds(), loss, settings,
        seed=seed, stage="final", progress=task, folder=folder, validate=validate,
    )  # fmt: skip
    return network, rows


def weights(network: nn.Module) -> Tensor:
    return torch.cat([value.flatten().float() for value in network.state_dict().values()])


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}])
def test_the_same_seed_gives_the_same_weights(changes: dict[str, float]) -> None:
    first, second = train(**changes)[0], train(**changes)[0]
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(train(seed=2, **changes)[0]))
    assert not first.training


@pytest.mark.parametrize("changes", [{}, {"ema": 0.9}])
def test_a_training_that_was_stopped_ends_with_the_weights_it_would_have_had(
    tmp_path: Path, changes: dict[str, float]
) -> None:
    def stop_in_epoch_3(_: nn.Module) -> dict[str, float]:
        if (tmp_path / CHECKPOINT).is_file() and stopped == []:
            stopped.append(True)
            raise Stop
        return {"held_out_nll": 0.5}

    stopped: list[bool] = []
    with pytest.raises(Stop):
        train(tmp_path, validate=stop_in_epoch_3, **changes)
    resumed, rows = train(tmp_path, validate=stop_in_epoch_3, **changes)
    whole, expected = train(validate=lambda _: {"held_out_nll": 0.5}, **changes)
    assert torch.equal(weights(resumed), weights(whole))
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in expected])


def test_weights_decide_what_is_drawn() -> None:
    chance = np.where(np.arange(200) % 2 == 0, 0.0, 1.0)
    source = Clouds(chance)
    train(source=source)
    assert (torch.cat(source.drawn) % 2 == 1).all()


def test_without_weights_every_window_comes_before_any_comes_again() -> None:
    source = Clouds()
    train(source=source)
    drawn = torch.cat(source.drawn)[:64]
    assert len(drawn.unique()) == 64


def test_history_has_loss_accuracy_and_held_out_figures() -> None:
    _, rows = train(validate=lambda network: {"held_out_nll": 0.25})
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert all(row["held_out_nll"] == 0.25 for row in rows)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert 0 <= rows[-1]["accuracy"] <= 1
    assert rows[-1]["learning_rate"] < rows[0]["learning_rate"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_asking_for_a_device_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match=r"training\.device is cuda, but torch finds no CUDA device"):
        train(device="cuda")
