"""The behaviour task as the engine sees it: windows in, a network, calibration and decoders out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from conv2d.config import Config
from conv2d.data.inner_split import inner_split
from conv2d.data.meta import in_words
from conv2d.errors import DataError
from conv2d.metrics.classification import macro_f1, nll
from conv2d.models.conv2d_fsq import Architecture, Conv2dFSQ
from conv2d.tasks.behavior.corpus import Corpus, Place
from conv2d.tasks.behavior.decoding import Decoding, fit_decoding
from conv2d.tasks.behavior.inference import Scores, infer
from conv2d.tasks.behavior.preprocess import Preprocess, WindowReader, fit_preprocess, network_channels
from conv2d.tasks.behavior.source import BehaviorSource, class_chance
from conv2d.training.task import Loss


class BehaviorTask:
    """Answers ``conv2d.training.task.Task``; a part of the training data is a ``Place``.

    Raises
    ------
    DataError
        No labelled window; fewer than two classes among the labelled windows; a sensor that no recording has.
    """

    name = "behavior"

    def __init__(self, config: Config, corpus: Corpus) -> None:
        self.config, self.data, self.settings = config, config.data, config.training
        self.classes = corpus.selection.classes
        hop = self.settings.train_hop or max(1, self.data.window_size // 32)
        labelled = corpus.windows(self.data.hop, self.data.label_rule, labelled=True)
        check_labels(labelled.label, self.classes, corpus)
        check_sensors(corpus)
        # A subject without a labelled window teaches nothing, and must not enter the scale either.
        self.corpus = corpus.of(corpus.subject_of(labelled).tolist())
        pool = self.corpus.training_windows(hop, self.data.label_rule)
        self.pool = _with_data(self.corpus, pool)
        self.without_data = len(pool) - len(self.pool)
        check_labels(self.pool.label, self.classes, self.corpus)  # again: data may be missing from all but one class
        self.warnings: tuple[str, ...] = ()
        self.held_together = "none"  # what no inner fold has on both sides, once there are inner folds
        self.decoding: Decoding | None = None
        self.out_of_fold: tuple[Scores, ...] = ()

    def whole(self) -> Place:
        """All labelled windows of the dense pool."""
        return self.pool

    def inner_parts(self) -> Sequence[tuple[Place, Place]]:
        """Inner folds: dense labelled windows to train on, and all frames of what is held out."""
        split = inner_split(
            self.corpus.subject_of(self.pool),
            self.pool.label,
            self.classes,
            self.settings.inner_folds,
            recordings=self.pool.recording.astype(str),
            starts=self.pool.start,
            window=self.corpus.window,
        )
        self.warnings, self.held_together = split.warnings, split.by
        frames = self.corpus.frames(self.data.decode_hop, self.data.label_rule)
        held = np.full(len(self.pool), -1)
        for number, (_, held_out) in enumerate(split.folds):
            held[held_out] = number
        fold_of_frame = _fold_of_frames(self.pool, held, frames)
        return [(self.pool[train], frames[fold_of_frame == n]) for n, (train, _) in enumerate(split.folds)]

    def fit_preprocess(self, part: Place) -> Preprocess:
        """Scales of the subjects in a part."""
        return fit_preprocess(self.corpus.of(self.corpus.subject_of(part).tolist()), self.data.norms)

    def source(self, part: Place, preprocess: Preprocess, seed: int) -> BehaviorSource:
        """Augmented windows of a part."""
        reader = WindowReader(self.corpus, preprocess)
        return BehaviorSource(reader, part, self.settings, len(self.classes), self.corpus.selection.channels, seed)

    def network(self) -> nn.Module:
        """A new ``Conv2dFSQ`` as the config describes it."""
        selection, wanted = self.corpus.selection, self.config.model.architecture
        quantization = wanted.quantization
        return Conv2dFSQ(
            Architecture(
                channels=network_channels(selection.channels, self.data.norms),
                sensors=len(selection.sensors),
                window=self.corpus.window,
                classes=len(self.classes),
                width=wanted.width,
                positions=quantization.positions,
                levels=quantization.levels if quantization.type == "fsq" else None,
                embedding_dim=quantization.embedding_dim,
                dropout=wanted.dropout,
            )
        )

    def loss(self, part: Place) -> Loss:
        """Cross-entropy under the drawn class shares, so that the logits themselves stay those of natural shares."""
        chance = class_chance(part.label, len(self.classes), self.settings.class_weights)
        log_chance = torch.log(torch.from_numpy(chance)).float()

        def loss(network: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
            logits = network(inputs).logits
            drawn = logits + log_chance.to(logits.device)
            return cross_entropy(drawn, targets, label_smoothing=self.settings.label_smoothing), logits

        return loss

    def predict(self, network: nn.Module, preprocess: Preprocess, part: Place) -> Scores:
        """Logits, codes and margins of frames."""
        assert isinstance(network, Conv2dFSQ)
        return infer(network, WindowReader(self.corpus, preprocess), part)

    def score(self, network: nn.Module, preprocess: Preprocess, part: Place) -> dict[str, float]:
        """Held-out NLL and macro-F1 of the labelled windows at the evaluation hop."""
        scores = self.predict(network, preprocess, part[self._is_evaluated(part)])
        label, logits, _ = self.evaluated(scores)
        if not len(label):
            return {}
        proba = np.exp(logits - np.logaddexp.reduce(logits, 1, keepdims=True))
        return {
            "held_out_nll": nll(label, proba),
            "held_out_macro_f1": macro_f1(label, logits.argmax(1), len(self.classes)),
        }

    def _is_evaluated(self, place: Place) -> NDArray[np.bool_]:
        kept: NDArray[np.bool_] = (place.label >= 0) & (place.start % self.data.hop == 0)
        return kept

    def evaluated(self, scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.float64], Place]:
        """Labels, logits and places of the labelled windows that the evaluation hop keeps."""
        keep = self._is_evaluated(scores.place) & scores.has_data
        return scores.place.label[keep], scores.logits[keep], scores.place[keep]

    def fit_decoding(self, out_of_fold: Sequence[Scores]) -> None:
        """Temperature and decoders on out-of-fold scores; durations and transitions from the training labels."""
        self.out_of_fold = tuple(out_of_fold)
        windows = [self.evaluated(scores) for scores in out_of_fold]
        self.decoding = fit_decoding(self.config, self.corpus, out_of_fold, windows, self.shares())

    def shares(self) -> NDArray[np.float64]:
        """Share of each class among the windows at the evaluation hop, (K,)."""
        label = _with_data(self.corpus, self.corpus.training_windows(self.data.hop, self.data.label_rule)).label
        count = np.bincount(label, minlength=len(self.classes)) + 0.5  # a class may have no window at this hop
        shares: NDArray[np.float64] = count / count.sum()
        return shares

    def save(self, folder: Path, network: nn.Module, preprocess: Preprocess) -> dict[str, object]:
        """Write the task's files of a run directory."""
        from conv2d.tasks.behavior.run_files import save_run_files

        return save_run_files(self, folder, network, preprocess)


def _with_data(corpus: Corpus, place: Place) -> Place:
    """The windows in which some sensor has at least half of its samples: of the others there is nothing to learn."""
    there = corpus.laid_out.present(corpus.laid_out.flat(place.recording, place.start))
    if there.any():
        return place[there]
    what = f"all {len(place)} labelled windows are without data"
    counts = "a sample of a sensor counts where all its channels have a value"
    for s, sensor in enumerate(corpus.selection.sensors):
        for c, channel in enumerate(corpus.selection.channels):
            if all(np.isnan(recording.samples[c, s]).all() for recording in corpus.recordings):
                raise DataError(
                    f"E-EXP-010: channel {sensor}/{channel} has no value in any of the {corpus.size} {corpus.unit}s to "
                    f"train on, and {counts}, so {what}; {corpus.leave_out(s, c)}"
                )
    raise DataError(
        f"E-EXP-010: {what}, expected some of which a sensor has at least half of the samples ({counts}); {corpus.mend}"
    )


def without_data(number: int, among: int) -> str:
    """How many windows are without data, and what that means, for a warning."""
    return (
        f"{number} of {among} windows are without data, as no sensor has half of its samples there (a sample counts "
        "where all channels of its sensor have a value)"
    )


def check_labels(label: NDArray[np.int64], classes: Sequence[str], corpus: Corpus) -> None:
    """Refuse data that nothing can be learned from."""
    present = np.unique(label)
    if not len(present):
        raise DataError(
            f"E-EXP-004: no window of the {len(corpus.recordings)} recordings has a label of "
            f"{in_words(list(classes))}; check data.classes, data.label_rule and the label column"
        )
    if len(present) < 2:
        raise DataError(
            f"E-EXP-005: every labelled window with data is {classes[present[0]]}, expected two classes or more; "
            "add recordings of another class or change data.classes"
        )


def check_sensors(corpus: Corpus) -> None:
    """Refuse a sensor that no recording has: its scale would be a guess, and data that do have it would be misread."""
    for s, sensor in enumerate(corpus.selection.sensors):
        if all(np.isnan(recording.samples[:, s]).all() for recording in corpus.recordings):
            raise DataError(
                f"E-EXP-009: sensor {sensor} has no value in any of the {corpus.size} {corpus.unit}s to train on, "
                f"expected some; {corpus.leave_out(s)}"
            )


def _fold_of_frames(pool: Place, held: NDArray[np.int64], frames: Place) -> NDArray[np.int64]:
    """Fold in which each frame is unseen, (N,); -1 for one that lies across two folds.

    A frame belongs to the fold of the pool windows before and after it; where a split by time puts these into two
    folds, the frame shares samples with both.
    """
    fold = np.full(len(frames), -1)
    for number in np.unique(frames.recording):
        mine, near = np.flatnonzero(frames.recording == number), np.flatnonzero(pool.recording == number)
        if not len(near):
            continue  # no labelled window: nothing to calibrate or tune on
        after = np.searchsorted(pool.start[near], frames.start[mine])
        right = held[near[np.minimum(after, len(near) - 1)]]
        exact = pool.start[near[np.minimum(after, len(near) - 1)]] == frames.start[mine]
        left = np.where(exact, right, held[near[np.maximum(after - 1, 0)]])
        fold[mine] = np.where(left == right, left, -1)
    return fold
