"""The scale of each channel, fitted on training subjects, and windows as the network takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conv2d.data.channels import triads
from conv2d.errors import DataError
from conv2d.tasks.behavior.corpus import Corpus, Place

FORMAT = "conv2d-preprocess/1"


@dataclass(frozen=True, eq=False)
class Preprocess:
    """(x - offset) / scale for each channel and sensor, both (C, S); missing samples become 0 afterwards.

    The channels of a vector (``acc_x``, ``acc_y``, ``acc_z``) share one scale, the root mean square of their norm, and
    have no offset: gravity stays what it is, and turning a sensor commutes with scaling. Other channels get zero mean
    and unit variance. ``subjects`` are those it was fitted on.
    """

    offset: NDArray[np.float32]
    scale: NDArray[np.float32]
    sensors: tuple[str, ...]
    channels: tuple[str, ...]
    subjects: tuple[str, ...]
    norms: bool

    def scaled(self, x: Tensor, *, missing: float = 0.0) -> Tensor:
        """Scale windows (B, C, S, T); a sample that is missing (NaN) becomes ``missing``."""
        offset, scale = torch.from_numpy(self.offset)[..., None], torch.from_numpy(self.scale)[..., None]
        return torch.nan_to_num((x - offset) / scale, nan=missing)

    def extended(self, x: Tensor) -> Tensor:
        """Append, with ``norms``, the norm of each vector to scaled windows: (B, C', S, T).

        No rotation of the sensor changes it; it pays where sensors sit at any angle, and costs where they do not.

        It stands behind augmentation and before the network, on the CPU: an accelerator need not know square roots.
        """
        if not self.norms:
            return x
        norms = [x[:, triad].square().sum(1, keepdim=True).sqrt() for _, triad in triads(self.channels)]
        return torch.cat([x, *norms], 1)

    def apply(self, x: Tensor) -> Tensor:
        """Windows in the data's units (B, C, S, T) to windows as the network takes them (B, C', S, T)."""
        return self.extended(self.scaled(x))

    def to_dict(self) -> dict[str, Any]:
        """JSON form, with its format version."""
        return {
            "format": FORMAT,
            "offset": self.offset.tolist(),
            "scale": self.scale.tolist(),
            "sensors": list(self.sensors),
            "channels": list(self.channels),
            "subjects": list(self.subjects),
            "norms": self.norms,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Preprocess":
        """Read the JSON form back; another format version is refused."""
        if stored.get("format") != FORMAT:
            raise DataError(
                f"E-RUN-002: preprocess.json has format {stored.get('format')!r}, this version reads {FORMAT!r}; "
                "train again or use the version that wrote it"
            )
        return cls(
            np.asarray(stored["offset"], np.float32),
            np.asarray(stored["scale"], np.float32),
            tuple(stored["sensors"]),
            tuple(stored["channels"]),
            tuple(stored["subjects"]),
            bool(stored["norms"]),
        )


def network_channels(channels: Sequence[str], norms: bool) -> int:
    """C', the number of channels that the network takes: those of the data and, with norms, one for each vector.

    >>> network_channels(["acc_x", "acc_y", "acc_z", "pressure"], norms=True)
    5
    """
    return len(channels) + (len(triads(channels)) if norms else 0)


def fit_preprocess(corpus: Corpus, norms: bool) -> Preprocess:
    """Fit on all samples of a corpus; NaN does not count.

    Raises
    ------
    DataError
        A channel without any variation over all recordings, which is a broken sensor or a wrong column.
    """
    channels, sensors = corpus.selection.channels, corpus.selection.sensors
    count = np.zeros((len(channels), len(sensors)))
    total, squares = np.zeros_like(count), np.zeros_like(count)
    low, high = np.full(count.shape, np.inf), np.full(count.shape, -np.inf)
    for recording in corpus.recordings:
        present = ~np.isnan(recording.samples)
        values = np.where(present, recording.samples, 0).astype(np.float64)
        count += present.sum(2)
        total += values.sum(2)
        squares += np.square(values).sum(2)
        low = np.minimum(low, np.where(present, recording.samples, np.inf).min(2))
        high = np.maximum(high, np.where(present, recording.samples, -np.inf).max(2))
    _refuse_constant(low, high, corpus)
    seen = np.maximum(count, 1)
    offset = total / seen
    scale = np.sqrt(np.maximum(squares / seen - offset**2, 0))
    for _, triad in triads(channels):
        axes = list(triad)
        offset[axes] = 0
        scale[axes] = np.sqrt((squares[axes] / seen[axes]).sum(0) / 3)
    scale = np.where((count > 0) & (scale > 0), scale, 1)
    return Preprocess(offset.astype(np.float32), scale.astype(np.float32), sensors, channels, corpus.subjects, norms)


def _refuse_constant(low: NDArray[np.float64], high: NDArray[np.float64], corpus: Corpus) -> None:
    channels, sensors = corpus.selection.channels, corpus.selection.sensors
    stuck = np.argwhere(low == high)
    if len(stuck):
        c, s = (int(i) for i in stuck[0])
        raise DataError(
            f"E-EXP-003: channel {sensors[s]}/{channels[c]} is {low[c, s]:g} in every {corpus.unit}, expected a "
            f"signal; {corpus.leave_out(s, c)}, or repair it"
        )


class WindowReader:
    """Windows of a corpus by place, scaled."""

    def __init__(self, corpus: Corpus, preprocess: Preprocess) -> None:
        self.preprocess, self.laid_out = preprocess, corpus.laid_out

    def flat(self, place: Place) -> Tensor:
        """Position of each window in the corpus laid end to end, (N,)."""
        return self.laid_out.flat(place.recording, place.start)

    def scaled(self, flat: Tensor, *, missing: float = 0.0) -> Tensor:
        """Scaled windows (B, C, S, T) at some positions; a sample that is missing is ``missing``."""
        return self.preprocess.scaled(self.laid_out.windows(flat), missing=missing)

    def present(self, flat: Tensor) -> NDArray[np.bool_]:
        """Whether some sensor has at least half of its samples in the window, (B,)."""
        return self.laid_out.present(flat)
