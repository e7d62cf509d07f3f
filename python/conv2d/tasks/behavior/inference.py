"""The network run over windows of a corpus, batch by batch."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conv2d.models.conv2d_fsq import Conv2dFSQ, Output
from conv2d.tasks.behavior.corpus import Corpus, Place
from conv2d.tasks.behavior.frames import Frames, centre_sample, piece_of_sample, start_times
from conv2d.tasks.behavior.preprocess import WindowReader
from conv2d_core import fsq_quantize

BATCH = 1024  # windows; a few megabytes of activations, beyond which nothing gets faster on a CPU
BLOCK = 16  # windows; BATCH is a multiple of it


@dataclass(frozen=True, eq=False)
class Scores:
    """What the network says of N windows: ``logits`` (N, K); ``codes`` (N, P), ``margin`` (N,) or None; ``has_data``.

    The margin of a window is the smallest of its P codes: how far the projection may move before a code changes.
    """

    place: Place
    logits: NDArray[np.float64]
    codes: NDArray[np.int64] | None
    margin: NDArray[np.float32] | None
    has_data: NDArray[np.bool_]


def forward(network: Conv2dFSQ, x: Tensor) -> Output:
    """Run the network over windows (B, C', S, T), filled up to whole blocks with copies of the last one.

    Matrix products sum the rest of a batch in another order than its whole blocks: without the copies, the last bits of
    what a window gets would depend on how many others stand beside it.
    """
    n = len(x)
    if rest := -n % BLOCK:
        x = torch.cat([x, x[-1:].expand(rest if n else 0, *x.shape[1:])])
    logits, embedding, features, projection = network(x)
    return Output(logits[:n], embedding[:n], features[:n], None if projection is None else projection[:n])


@torch.inference_mode()
def infer(network: Conv2dFSQ, reader: WindowReader, place: Place) -> Scores:
    """Run the network, in evaluation mode and where its weights lie, over windows of a corpus."""
    device = next(network.parameters()).device
    levels = network.architecture.levels
    logits: list[NDArray[np.float32]] = []
    codes: list[NDArray[np.int64]] = []
    margin: list[NDArray[np.float32]] = []
    has_data: list[NDArray[np.bool_]] = []
    flat = reader.flat(place)
    for begin in range(0, len(flat), BATCH):
        batch = flat[begin : begin + BATCH]
        output = forward(network, reader.preprocess.extended(reader.scaled(batch)).to(device))
        logits.append(output.logits.cpu().numpy())
        has_data.append(reader.present(batch))
        if levels is not None:
            assert output.projection is not None
            projection = output.projection.cpu().transpose(1, 2).contiguous()
            rows = projection.view(-1, len(levels)).numpy()
            batch_codes, _, batch_margin = fsq_quantize(rows, levels)
            codes.append(batch_codes.reshape(len(batch), -1).astype(np.int64))
            margin.append(batch_margin.reshape(len(batch), -1).min(1))
    classes, positions = network.architecture.classes, network.architecture.positions
    return Scores(
        place,
        np.concatenate([np.empty((0, classes)), *logits]).astype(np.float64),
        np.concatenate([np.empty((0, positions), np.int64), *codes]) if levels is not None else None,
        np.concatenate([np.empty(0, np.float32), *margin]) if levels is not None else None,
        np.concatenate([np.empty(0, bool), *has_data]),
    )


def to_frames(corpus: Corpus, scores: Scores) -> list[Frames]:
    """One ``Frames`` a recording that has any, in the corpus's order."""
    frames = []
    for number in np.unique(scores.place.recording):
        mine = np.flatnonzero(scores.place.recording == number)
        recording, start = corpus.recordings[number], scores.place.start[mine]
        frames.append(
            Frames(
                recording.name,
                recording.subject,
                corpus.window,
                recording.rate_hz,
                start,
                start_times(recording, start, corpus.window),
                piece_of_sample(recording)[centre_sample(recording, start, corpus.window)],
                scores.place.label[mine],
                scores.logits[mine],
                None if scores.codes is None else scores.codes[mine],
                None if scores.margin is None else scores.margin[mine],
                scores.has_data[mine],
            )
        )
    return frames
