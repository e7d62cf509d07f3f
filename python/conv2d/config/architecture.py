"""The ``model`` block: encoder, quantisation, clustering and the decoder of the timeline."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from conv2d.config.base import Block, Listed, fault

LARGEST_CODEBOOK = 2**63 - 1  # codes are int64 at most


class Quantization(Block):
    """Finite scalar quantisation (Mentzer et al. 2023) of ``positions`` places in a window, or none."""

    type: Literal["fsq", "none"] = "fsq"
    levels: Annotated[tuple[Annotated[int, Field(ge=2, le=255)], ...], Field(min_length=1), Listed] = (8, 8, 5, 5, 5)
    positions: int = Field(default=16, ge=1, le=256)
    embedding_dim: int = Field(default=64, ge=1, le=1024)

    @property
    def codebook_size(self) -> int:
        """Number of different codes, the product of the levels.

        >>> Quantization(levels=(8, 6, 5)).codebook_size
        240
        """
        return math.prod(self.levels)

    @model_validator(mode="after")
    def _codes_fit(self) -> "Quantization":
        if self.codebook_size > LARGEST_CODEBOOK:
            raise fault(
                "levels", f"make {self.codebook_size:.3g} codes, more than 2^63 - 1; use fewer or smaller levels"
            )
        if len(self.levels) > self.embedding_dim:
            raise fault(
                "embedding_dim",
                f"is {self.embedding_dim}, less than the {len(self.levels)} levels; use at least as many dimensions",
            )
        return self


class Clustering(Block):
    """Motifs found by clustering the codes: not part of this version."""

    type: Literal["none"] = "none"

    @model_validator(mode="before")
    @classmethod
    def _not_yet(cls, values: Any) -> Any:
        # Before the keys are looked at: those of a clustering method would be called unknown, which is not the point.
        if isinstance(values, dict) and isinstance(kind := values.get("type", "none"), str) and kind != "none":
            raise fault("type", f"is {kind!r}, but clustering is not part of this version; set it to 'none'")
        return values


class Temporal(Block):
    """How window scores become a timeline. Frames are ``data.decode_hop`` samples apart."""

    type: Literal["raw", "mode", "min_dwell", "hmm", "hsmm", "median_hysteresis"] = "hsmm"
    durations: Literal["categorical", "negative_binomial", "poisson", "geometric", "gaussian"] = "negative_binomial"
    min_dwell: Annotated[int, Field(ge=1)] | None = None
    window_size: Annotated[int, Field(ge=1)] | None = None
    min_dwell_s: Annotated[float, Field(gt=0)] | None = None
    window_s: Annotated[float, Field(gt=0)] | None = None
    max_duration_s: Annotated[float, Field(gt=0)] | None = None
    emission_weight: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = "auto"
    transitions: Literal["learned", "uniform"] = "learned"

    @model_validator(mode="after")
    def _sensible(self) -> "Temporal":
        for frames, seconds in (("min_dwell", "min_dwell_s"), ("window_size", "window_s")):
            if getattr(self, frames) is not None and getattr(self, seconds) is not None:
                raise fault(seconds, f"stands beside {frames}; give the frames or the seconds, not both")
        if self.window_size is not None and self.window_size % 2 == 0:
            raise fault(
                "window_size", f"is {self.window_size}; expected an odd number, so that the window has a centre"
            )
        if self.max_duration_s is not None and self.min_dwell_s is not None and self.max_duration_s < self.min_dwell_s:
            raise fault("max_duration_s", f"is {self.max_duration_s:g}, less than min_dwell_s ({self.min_dwell_s:g})")
        return self

    def min_dwell_frames(self, frame_s: float) -> int | None:
        """Shortest segment in frames that lie ``frame_s`` seconds apart; seconds round up, since it is a guarantee.

        None where neither frames nor seconds are given: the decoder finds its own, or has its own default.

        >>> Temporal(min_dwell_s=0.5).min_dwell_frames(0.2), Temporal(min_dwell=5).min_dwell_frames(0.2)
        (3, 5)
        """
        if self.min_dwell_s is None:
            return self.min_dwell
        # A hair is taken off, or 0.3 s in frames of 0.1 s would be four.
        return max(1, math.ceil(self.min_dwell_s / frame_s - 1e-9))

    def window_frames(self, frame_s: float) -> int | None:
        """Width of the mode filter in frames that lie ``frame_s`` seconds apart: the nearest odd number, the wider one
        of two equally near. None where neither frames nor seconds are given.

        >>> Temporal(window_s=1.0).window_frames(0.2), Temporal(window_size=7).window_frames(0.2)
        (5, 7)
        """
        if self.window_s is None:
            return self.window_size
        return 2 * math.floor(self.window_s / frame_s / 2) + 1


class Architecture(Block):
    """The parts of the network and what decodes its scores."""

    encoder: Literal["conv2d"] = "conv2d"
    width: int = Field(default=32, ge=4, le=256)
    dropout: float = Field(default=0.3, ge=0, lt=1)
    quantization: Quantization = Quantization()
    clustering: Clustering = Clustering()
    temporal: Temporal = Temporal()


class Model(Block):
    """The network by its name."""

    name: Literal["conv2d_fsq"] = "conv2d_fsq"
    architecture: Architecture = Architecture()
