"""One network optimised by Lightning: AdamW, linear warm-up and cosine decay, the same result for the same seed."""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, Sampler
from torchmetrics.classification import MulticlassAccuracy

from conv2d.config import Training
from conv2d.errors import UsageError
from conv2d.logging.progress import Task as ProgressTask
from conv2d.training.task import Loss, WindowSource

HistoryRow = dict[str, float | int | str]
CHECKPOINT = "last.ckpt"


def optimise(
    network: nn.Module,
    source: WindowSource,
    loss: Loss,
    settings: Training,
    *,
    seed: int,
    stage: str,
    progress: ProgressTask,
    folder: Path | None = None,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
) -> list[HistoryRow]:
    """Train a network in place and return a row of history an epoch.

    ``folder`` keeps a checkpoint of the last whole epoch; where one lies there already, training goes on from it and
    ends with the weights it would have had without the stop. ``validate`` is called a few times along the way.
    The network is left in evaluation mode, on the CPU, with averaged weights where ``settings.ema`` asks for it.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("training.device is cuda, but torch finds no CUDA device; set it to auto or cpu")
    device = "gpu" if settings.device != "cpu" and torch.cuda.is_available() else "cpu"
    module = _Module(network, loss, settings, steps=_steps(settings))
    history = _History(stage, progress, settings.epochs, validate)
    callbacks: list[Callback] = [_Seed(seed, source), history]
    resume: str | None = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        callbacks.append(ModelCheckpoint(folder, "last", save_top_k=1, every_n_epochs=1, enable_version_counter=False))
        # One that was cut off while it was written is no archive: the stage begins anew and ends with the same weights.
        resume = str(folder / CHECKPOINT) if is_zipfile(folder / CHECKPOINT) else None
    loader = DataLoader(_Batches(source), sampler=_Draws(source, settings, seed), batch_size=None)
    with _quiet_lightning():
        trainer = L.Trainer(
            accelerator=device,
            devices=1,
            max_epochs=settings.epochs,
            gradient_clip_val=5.0,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=folder is not None,
            callbacks=callbacks,
        )
        trainer.fit(module, loader, ckpt_path=resume, weights_only=False if resume else None)
    if module.trained is not network:
        network.load_state_dict(module.trained.state_dict())
    network.cpu().eval()
    return history.rows


def _steps(settings: Training) -> int:
    """Optimiser steps of one epoch."""
    return max(1, settings.windows_per_epoch // settings.batch_size)


class _Module(L.LightningModule):
    """The network as Lightning wants it."""

    def __init__(self, network: nn.Module, loss: Loss, settings: Training, steps: int) -> None:
        super().__init__()
        self.network, self.loss, self.settings, self.steps = network, loss, settings, steps
        self.average: AveragedModel | None = None
        if settings.ema is not None:
            # Buffers are averaged too: the running statistics must fit the averaged weights.
            self.average = AveragedModel(network, multi_avg_fn=_average(settings.ema), use_buffers=True)

    @property
    def trained(self) -> nn.Module:
        """What this training is for: the averaged network where there is one."""
        if self.average is None:
            return self.network
        averaged: nn.Module = self.average.module
        return averaged

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> dict[str, Tensor]:
        loss, scores = self.loss(self.network, *batch)
        return {"loss": loss, "scores": scores.detach(), "targets": batch[1]}

    def on_train_batch_end(self, *_: Any) -> None:
        if self.average is not None:
            self.average.update_parameters(self.network)

    def configure_optimizers(self) -> Any:
        settings, total = self.settings, self.settings.epochs * self.steps
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        warm = max(1, round(settings.warmup * total))

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _average(decay: float) -> Callable[..., None]:
    """Exponential averaging that begins with short memories: else a short training would end near where it began.

    Until ``decay`` is reached about half of the steps so far are remembered.
    """

    def average(averaged: Any, current: Any, count: Tensor) -> None:
        now = min(decay, (1 + int(count)) / (3 + int(count)))
        get_ema_multi_avg_fn(now)(averaged, current, count)  # type: ignore[no-untyped-call]

    return average


class _Batches(Dataset[tuple[Tensor, Tensor]]):
    """A dataset whose index is a whole batch, so that a batch is one gather and not one call a window."""

    def __init__(self, source: WindowSource) -> None:
        self.source = source

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        return self.source.batch(indices)

    def __len__(self) -> int:
        return len(self.source)


class _Draws(Sampler[Tensor]):
    """Batches of window numbers: shuffled without weights, drawn with replacement with them; seeded by the epoch."""

    def __init__(self, source: WindowSource, settings: Training, seed: int) -> None:
        self.source, self.batch, self.steps, self.seed = source, settings.batch_size, _steps(settings), seed
        self.epoch = 0
        weights = source.weights
        self.chance = None if weights is None else np.asarray(weights) / np.sum(weights)

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Tensor]:
        random = np.random.default_rng([self.seed, self.epoch])
        count, wanted = len(self.source), self.steps * self.batch
        if self.chance is not None:
            drawn = random.choice(count, wanted, p=self.chance)
        else:
            rounds = -(-wanted // count)
            drawn = np.concatenate([random.permutation(count) for _ in range(rounds)])[:wanted]
        yield from torch.from_numpy(drawn).view(self.steps, self.batch)


class _Seed(Callback):
    """Seeds the source before each epoch and torch before each step, so that a resumed training draws the same.

    Before each step, since what loaders draw from torch's generator differs between a first and a resumed epoch.
    """

    def __init__(self, seed: int, source: WindowSource) -> None:
        self.seed, self.source = seed, source

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.source.start_epoch(trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        torch.manual_seed(self.seed * 1_000_003 + trainer.global_step)


class _History(Callback):
    """Loss and accuracy of each epoch, held-out figures at a few of them; kept in the checkpoint."""

    def __init__(
        self,
        stage: str,
        progress: ProgressTask,
        epochs: int,
        validate: Callable[[nn.Module], dict[str, float]] | None,
    ) -> None:
        self.stage, self.progress, self.validate = stage, progress, validate
        # Held-out figures cost a forward pass over the held-out part; a handful of points draws the curve.
        self.validated = {round(epochs * share / 4) - 1 for share in range(1, 5)}
        self.rows: list[HistoryRow] = []
        self._losses: list[float] = []
        self._accuracy: MulticlassAccuracy | None = None

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._losses.append(outputs["loss"].item())
        if self._accuracy is None:
            self._accuracy = MulticlassAccuracy(outputs["scores"].shape[1], average="micro").to(outputs["scores"])
        self._accuracy.update(outputs["scores"], outputs["targets"].argmax(1))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert self._accuracy is not None  # an epoch has at least one batch
        row: HistoryRow = {
            "stage": self.stage,
            "epoch": trainer.current_epoch,
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "loss": float(np.mean(self._losses)),
            "accuracy": float(self._accuracy.compute()),
        }
        self._losses.clear()
        self._accuracy.reset()
        if self.validate is not None and trainer.current_epoch in self.validated:
            assert isinstance(pl_module, _Module)
            network = pl_module.trained
            network.eval()
            row |= self.validate(network)
            network.train()
        self.rows.append(row)
        self.progress.advance(1, note=f"loss {row['loss']:.3f}")

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        self.progress.advance(len(self.rows))


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence what Lightning says to a person at every start: devices found, workers it would like, seeds."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning(\.|$)")
            warnings.filterwarnings("ignore", module=r"torch\.optim\.lr_scheduler")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
