"""Types of the native core; `help(conv2d_core)` has the full text of each function."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, SupportsFloat, SupportsIndex, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

Censoring: TypeAlias = Literal["none", "right", "left", "both"]
Code = TypeVar("Code", np.int32, np.int64)
Label = TypeVar("Label", np.bool_, np.uint8, np.int8, np.int16, np.int32, np.int64)
Levels: TypeAlias = Sequence[int] | NDArray[np.integer]
NanRule: TypeAlias = Literal["raise", "sentinel"]

__version__: str

@overload
def fsq_encode(
    z: ArrayLike, levels: Levels, out: None = None, nan: NanRule = "raise"
) -> NDArray[np.int32] | NDArray[np.int64]:
    """Codes of vectors under finite scalar quantisation (Mentzer et al. 2023)."""

@overload
def fsq_encode(z: ArrayLike, levels: Levels, out: NDArray[Code], nan: NanRule = "raise") -> NDArray[Code]:
    """Codes of vectors, written to `out`."""

def fsq_quantize(
    z: ArrayLike, levels: Levels, nan: NanRule = "raise"
) -> tuple[NDArray[np.int32] | NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Codes, the values they stand for, and the margins, from one pass over the vectors."""

def fsq_decode(codes: ArrayLike, levels: Levels, nan: NanRule = "raise") -> NDArray[np.float32]:
    """Quantised values of codes: (digit - L // 2) / (L // 2) in each dimension, within [-1, 1]."""

def fsq_margin(z: ArrayLike, levels: Levels, nan: NanRule = "raise") -> NDArray[np.float32]:
    """How far each vector is from another code: the distance to the nearest threshold of any dimension."""

def fsq_thresholds(levels: SupportsIndex) -> NDArray[np.float32]:
    """The values of one dimension at which its digit goes up: digit(z) = number of thresholds <= z."""

def hsmm_viterbi(
    log_emissions: ArrayLike,
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    censoring: Censoring = "none",
) -> tuple[NDArray[np.int64], float, NDArray[np.int64]]:
    """The most likely timeline under a hidden semi-Markov model with explicit durations (Yu 2010)."""

def hsmm_viterbi_many(
    log_emissions: Iterable[ArrayLike],
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    censoring: Censoring = "none",
    threads: SupportsIndex = 0,
) -> list[tuple[NDArray[np.int64], float, NDArray[np.int64]]]:
    """The most likely timelines of many recordings under one model, over threads."""

def hsmm_forward_backward(
    log_emissions: ArrayLike,
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    censoring: Censoring = "none",
) -> tuple[float, NDArray[np.float64]]:
    """Smoothed probabilities of the states: each frame given the whole recording."""

def hsmm_filter(
    log_emissions: ArrayLike,
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    censoring: Censoring = "none",
) -> tuple[float, NDArray[np.float64]]:
    """Filtered probabilities of the states: each frame given the past and itself only."""

def hsmm_expected_counts(
    log_emissions: ArrayLike,
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    censoring: Censoring = "none",
) -> tuple[
    float,
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64],
    dict[Literal["left", "right", "both"], NDArray[np.float64]],
]:
    """The expected counts that expectation maximisation needs, given the whole recording."""

def hsmm_boundary_posteriors(
    log_emissions: ArrayLike,
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    censoring: Censoring = "none",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities that a segment of each state begins, and ends, with each frame, given the whole recording."""

def hsmm_segment_posteriors(
    log_emissions: ArrayLike,
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    segments: ArrayLike,
    censoring: Censoring = "none",
) -> NDArray[np.float64]:
    """Probability of each given segment: that the timeline has exactly it, given the whole recording."""

def hsmm_kbest(
    log_emissions: ArrayLike,
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    k: SupportsIndex,
    censoring: Censoring = "none",
    distinct: Literal["segments", "labels"] = "segments",
) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """The k best timelines, in descending order of score."""

def hsmm_mbr(
    log_emissions: ArrayLike,
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    censoring: Censoring = "none",
    risk: Literal["sample", "segment"] = "sample",
    overlap: SupportsFloat = 0.5,
) -> tuple[NDArray[np.int64], float, NDArray[np.int64], float]:
    """The timeline that is expected to be right about the most (minimum Bayes risk); Viterbi is the most likely one."""

def hsmm_expected_scores(
    log_emissions: ArrayLike,
    log_transitions: ArrayLike,
    log_initial: ArrayLike,
    log_durations: ArrayLike,
    states: ArrayLike,
    censoring: Censoring = "none",
    overlap: SupportsFloat = 0.5,
) -> tuple[float, float]:
    """What a given timeline is expected to get right, if the model is right."""

@overload
def mode_filter(labels: NDArray[Label], width: SupportsIndex, out: NDArray[Label] | None = None) -> NDArray[Label]:
    """The most frequent label in a window around each sample; for labels without an order."""

@overload
def mode_filter(
    labels: Sequence[int] | Sequence[Sequence[int]], width: SupportsIndex, out: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The most frequent label in a window around each sample, from lists."""

@overload
def median_filter(labels: NDArray[Label], width: SupportsIndex, out: NDArray[Label] | None = None) -> NDArray[Label]:
    """The median of a window around each sample; for labels whose order means something (see `mode_filter`)."""

@overload
def median_filter(
    labels: Sequence[int] | Sequence[Sequence[int]], width: SupportsIndex, out: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The median of a window around each sample, from lists."""

@overload
def min_dwell(labels: NDArray[Label], min_frames: SupportsIndex, out: NDArray[Label] | None = None) -> NDArray[Label]:
    """Labels without inner segments shorter than asked."""

@overload
def min_dwell(
    labels: Sequence[int] | Sequence[Sequence[int]], min_frames: SupportsIndex, out: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Labels without inner segments shorter than asked, from lists."""

def hysteresis(
    p: ArrayLike, enter: SupportsFloat, exit: SupportsFloat, out: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """A switch with two thresholds: on from p >= enter, off again from p < exit, off before the first sample."""

class ModeStream:
    """`mode_filter` of a recording that comes in pieces."""

    def __init__(self, width: SupportsIndex) -> None: ...
    @overload
    def push(self, labels: NDArray[Label]) -> NDArray[Label]:
        """Labels that can no longer change, in order; (T,) labels of one dtype for a recording."""

    @overload
    def push(self, labels: Sequence[int]) -> NDArray[np.int64]:
        """Labels that can no longer change, in order; from a list."""

    def flush(self) -> NDArray[Any]:
        """The labels still waiting: ends the recording; the next push begins another one."""

    @property
    def waiting(self) -> int:
        """Samples pushed and not yet given back."""

    @property
    def gained(self) -> bool:
        """Whether the labels given back so far change more often than what was pushed up to them."""

    def save(self) -> bytes:
        """Everything that is needed to go on, as bytes: the same on every machine and SIMD path."""

    def restore(self, state: bytes) -> None:
        """Goes on from what save() gave, on a stream with the same parameters."""

class MedianStream:
    """`median_filter` of a recording that comes in pieces."""

    def __init__(self, width: SupportsIndex) -> None: ...
    @overload
    def push(self, labels: NDArray[Label]) -> NDArray[Label]:
        """Labels that can no longer change, in order; (T,) labels of one dtype for a recording."""

    @overload
    def push(self, labels: Sequence[int]) -> NDArray[np.int64]:
        """Labels that can no longer change, in order; from a list."""

    def flush(self) -> NDArray[Any]:
        """The labels still waiting: ends the recording; the next push begins another one."""

    @property
    def waiting(self) -> int:
        """Samples pushed and not yet given back."""

    @property
    def gained(self) -> bool:
        """Whether the labels given back so far change more often than what was pushed up to them."""

    def save(self) -> bytes:
        """Everything that is needed to go on, as bytes: the same on every machine and SIMD path."""

    def restore(self, state: bytes) -> None:
        """Goes on from what save() gave, on a stream with the same parameters."""

class MinDwellStream:
    """`min_dwell` of a recording that comes in pieces."""

    def __init__(self, min_frames: SupportsIndex) -> None: ...
    @overload
    def push(self, labels: NDArray[Label]) -> NDArray[Label]:
        """Labels that can no longer change, in order; (T,) labels of one dtype for a recording."""

    @overload
    def push(self, labels: Sequence[int]) -> NDArray[np.int64]:
        """Labels that can no longer change, in order; from a list."""

    def flush(self) -> NDArray[Any]:
        """The labels still waiting: ends the recording; the next push begins another one."""

    @property
    def waiting(self) -> int:
        """Samples pushed and not yet given back."""

    def save(self) -> bytes:
        """Everything that is needed to go on, as bytes: the same on every machine and SIMD path."""

    def restore(self, state: bytes) -> None:
        """Goes on from what save() gave, on a stream with the same parameters."""

class HysteresisStream:
    """`hysteresis` of a recording that comes in pieces."""

    def __init__(self, enter: SupportsFloat, exit: SupportsFloat) -> None: ...
    def push(self, p: ArrayLike) -> NDArray[np.bool_]:
        """The switch after each sample of p, (T,) real."""

    def flush(self) -> None:
        """Ends the recording: off before the next sample."""

    @property
    def on(self) -> bool:
        """Whether the switch is on after the last sample."""

    def save(self) -> bytes:
        """Everything that is needed to go on, as bytes: the same on every machine and SIMD path."""

    def restore(self, state: bytes) -> None:
        """Goes on from what save() gave, on a stream with the same parameters."""

def simd_path() -> str:
    """Name of the instruction set that the kernels run on: 'scalar', 'neon', 'avx2' or 'avx512'."""

def simd_paths() -> tuple[str, ...]:
    """Names of the paths that this build and this processor have, the slowest first."""

def use_simd_path(name: str) -> None:
    """Take another path for all calls of this process that begin from now on; for tests and comparisons."""

class HsmmStream:
    """A hidden semi-Markov model that decodes a recording while it is made."""

    def __init__(
        self,
        log_transitions: ArrayLike,
        log_initial: ArrayLike,
        log_durations: ArrayLike,
        censoring: Censoring = "none",
        lag_frames: SupportsIndex | None = None,
        smoothing_lag_frames: SupportsIndex | None = None,
        filtered: bool = False,
        check_frames: SupportsIndex = 1,
        join: bool = False,
        log_final: ArrayLike | None = None,
    ) -> None: ...
    def push(self, log_emissions: ArrayLike) -> NDArray[np.int64]:
        """Take in the next frames and give the segments that have become final."""

    def flush(self, ends: bool = True) -> tuple[NDArray[np.int64], float]:
        """End the recording."""

    def reset(self) -> None:
        """Forget all frames; the next push begins another recording."""

    def tentative(self) -> NDArray[np.int64]:
        """The most likely segments of all frames not yet given out, as if the recording went on."""

    def save(self) -> bytes:
        """Everything that is needed to go on later, as bytes."""

    def restore(self, state: bytes) -> None:
        """Go on where `save` was called, in a stream of the same model and options."""

    @property
    def open(self) -> tuple[int, int, int] | None:
        """The segment under way as (state, start, until), or None: frames start .. until - 1 are in this state."""

    @property
    def filtered(self) -> NDArray[np.float64] | None:
        """Filtered posteriors (n, K) of the frames of the last push, or None."""

    @property
    def smoothed(self) -> NDArray[np.float64] | None:
        """Smoothed posteriors (m, K) that the last push or flush gave, in the order of frames, or None."""

    @property
    def frames(self) -> int:
        """Frames taken in."""

    @property
    def decided(self) -> int:
        """Frames whose state is decided: in a segment given out, or in `open`."""

    @property
    def flushed(self) -> bool:
        """Whether the recording has ended."""

    @property
    def forced_commits(self) -> int:
        """How often the bound decided what the data had not."""

    @property
    def forced_frames(self) -> int:
        """Frames whose state was so decided."""
