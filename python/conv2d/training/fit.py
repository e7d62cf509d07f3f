"""A task fitted: inner folds for what is fitted on top, then one network on all training data."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import numpy as np
import torch
from torch import nn

from conv2d.config import Training
from conv2d.logging.progress import Progress
from conv2d.training.engine import HistoryRow, optimise
from conv2d.training.task import Part, Prediction, Preprocess, Task


@dataclass(frozen=True)
class Fitted(Generic[Preprocess]):
    """What training leaves in memory; the task itself holds calibration and decoders."""

    network: nn.Module
    preprocess: Preprocess
    history: list[HistoryRow]


def fit(
    task: Task[Part, Preprocess, Prediction],
    settings: Training,
    *,
    seed: int,
    progress: Progress,
    folder: Path | None = None,
) -> Fitted[Preprocess]:
    """Train the inner networks, fit calibration and decoders on their held-out predictions, train the final network.

    The final network sees all training data and stops at the last epoch: a few inner subjects are a treacherous
    guide for early stopping. ``folder`` keeps checkpoints; a fit started again with the same folder goes on there.
    Cost: ``settings.inner_folds + 1`` trainings.
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    history: list[HistoryRow] = []
    out_of_fold: list[Prediction] = []
    parts = task.inner_parts()
    for number, (train, held_out) in enumerate(parts, 1):
        network, preprocess = _train(
            task, train, settings, _seed(seed, number), f"inner_{number}", history, progress, folder, held_out
        )
        out_of_fold.append(task.predict(network, preprocess, held_out))
    network, preprocess = _train(task, task.whole(), settings, _seed(seed, 0), "final", history, progress, folder, None)
    with progress.task("decoders", 1) as step:
        task.fit_decoding(out_of_fold)
        step.advance(1)
    return Fitted(network, preprocess, history)


def _seed(seed: int, number: int) -> int:
    """A seed of its own for each network, shared with no network of another seed."""
    return int(np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(1)[0])


def _train(
    task: Task[Part, Preprocess, Prediction],
    part: Part,
    settings: Training,
    seed: int,
    stage: str,
    history: list[HistoryRow],
    progress: Progress,
    folder: Path | None,
    held_out: Part | None,
) -> tuple[nn.Module, Preprocess]:
    torch.manual_seed(seed)
    network, preprocess = task.network(), task.fit_preprocess(part)
    validate: Callable[[nn.Module], dict[str, float]] | None = None
    if held_out is not None:
        unseen = held_out
        validate = lambda trained: task.score(trained, preprocess, unseen)  # noqa: E731
    with progress.task(f"training {stage}", settings.epochs) as step:
        history += optimise(
            network,
            task.source(part, preprocess, seed),
            task.loss(part),
            settings,
            seed=seed,
            stage=stage,
            progress=step,
            folder=None if folder is None else folder / stage,
            validate=validate,
        )
    return network, preprocess
