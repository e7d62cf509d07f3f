"""A million windows: how fast they are cut, scaled and augmented, beside how fast a small network learns from them.

    python bench/python/serving.py [--subjects 6] [--minutes 60] [--hop 2] [--json]

Simulated recordings of 18 channels at 100 Hz. Every window of the pool is served once, in an order drawn at random and
in batches, exactly as ``conv2d train`` asks for them; then the default network is trained on some of these batches.
Both on as many threads as torch takes by itself. What counts is the ratio: above 1 the network waits for nobody.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from conv2d.config import Config
from conv2d.config.defaults import default_config
from conv2d.data import Dataset
from conv2d.data.simulate import simulate_dataset
from conv2d.tasks.behavior.corpus import Corpus, Place, read_corpus, select
from conv2d.tasks.behavior.task import BehaviorTask


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--subjects", type=int, default=6)
    arguments.add_argument("--minutes", type=float, default=60.0)
    arguments.add_argument("--hop", type=int, default=2, help="samples between the windows of the pool")
    arguments.add_argument("--steps", type=int, default=60, help="training steps that are timed")
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        simulate_dataset(Path(folder) / "dogs", n_subjects=given.subjects, minutes=given.minutes, rate_hz=100.0)
        figures = measure(Dataset.open(Path(folder) / "dogs"), given.hop, given.steps)
    if given.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value:,.3f}" if isinstance(value, float) else f"{name:32} {value:,}")


def measure(dataset: Dataset, hop: int, steps: int) -> dict[str, float | int]:
    config, _ = default_config(dataset.meta)
    config = config.model_copy(update={"training": config.training.model_copy(update={"train_hop": hop})})
    started = time.perf_counter()
    corpus = read_corpus(config, dataset, select(config.data, dataset))
    task = BehaviorTask(config, corpus)
    pool = task.whole()
    preprocess = task.fit_preprocess(pool)
    source = task.source(pool, preprocess, seed=0)
    ready = time.perf_counter() - started

    batch = config.training.batch_size
    order = torch.randperm(len(source)).split(batch)
    source.start_epoch(0)
    started = time.perf_counter()
    for indices in order:
        source.batch(indices)
    served = len(source) / (time.perf_counter() - started)

    figures: dict[str, float | int] = {
        "windows": len(source),
        "ready_s": ready,
        "served_windows_per_s": served,
        "threads": torch.get_num_threads(),
    }
    batches = [source.batch(indices) for indices in order[: steps + 5]]
    for width in (config.model.architecture.width, 8):
        parameters, trained = learn(config, corpus, pool, batches, width)
        figures |= {
            f"width_{width}_parameters": parameters,
            f"width_{width}_trained_windows_per_s": trained,
            f"width_{width}_served_over_trained": served / trained,
        }
    return figures


def learn(
    config: Config, corpus: Corpus, pool: Place, batches: Sequence[tuple[Tensor, Tensor]], width: int
) -> tuple[int, float]:
    """Parameters of the default network at some width, and the windows that it learns from in a second."""
    architecture = config.model.architecture.model_copy(update={"width": width})
    model = config.model.model_copy(update={"architecture": architecture})
    task = BehaviorTask(config.model_copy(update={"model": model}), corpus)
    torch.manual_seed(0)
    network, loss = task.network().train(), task.loss(pool)
    optimiser = torch.optim.AdamW(network.parameters())
    for x, y in batches[:5]:
        loss(network, x, y)[0].backward()
    started = time.perf_counter()
    for x, y in batches[5:]:
        optimiser.zero_grad()
        loss(network, x, y)[0].backward()
        optimiser.step()
    trained = sum(len(x) for x, _ in batches[5:]) / (time.perf_counter() - started)
    return sum(p.numel() for p in network.parameters()), trained


if __name__ == "__main__":
    main()
