"""The FSQ contract: windows in, codes out, always from a trained network and always the same."""

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import ArrayLike

from conv2d.errors import UsageError


class Encodes(Protocol):
    """A loaded model that gives codes; ``conv2d.load(RUN)`` returns one."""

    @property
    def levels(self) -> tuple[int, ...] | None:
        """Levels of the codes; None without quantisation."""

    @property
    def embedding_dim(self) -> int:
        """Length of an embedding."""

    def encode(self, x: Any) -> Any:
        """Windows to an object with ``codes``, ``features`` and ``embeddings``."""


def encode_fsq(
    x: ArrayLike,
    levels: Sequence[int] | None = None,
    embedding_dim: int | None = None,
    *,
    model: Encodes | None = None,
) -> Any:
    """Encode windows (B, C, S, T) float32, in the data's own units, with a trained model.

    Returns an object with ``codes`` (B, P) int32 (int64 where a code book has more than 2^31 - 1 codes), ``features``
    (B, d * P) float32, the dequantised codes with all positions of the first dimension first, and ``embeddings``
    (B, ``embedding_dim``) float32. The same input gives the same codes. ``levels`` and ``embedding_dim``, where given,
    must be those of the model: they say what the caller counts on.

    Raises
    ------
    UsageError
        No model (codes of random weights mean nothing); levels or dimension other than the model's; another shape.

    Example
    -------
    >>> import numpy as np
    >>> from conv2d.features.fsq_contract import encode_fsq
    >>> encode_fsq(np.zeros((1, 9, 2, 100), np.float32), levels=[8, 6, 5], embedding_dim=64)
    Traceback (most recent call last):
    ...
    conv2d.errors.UsageError: E-FSQ-003: encode_fsq was called without a model, expected a trained one; pass \
model=conv2d.load(RUN)
    """
    if model is None:
        raise UsageError(
            "E-FSQ-003: encode_fsq was called without a model, expected a trained one; pass model=conv2d.load(RUN)"
        )
    if levels is not None and model.levels is not None and tuple(levels) != model.levels:
        raise UsageError(
            f"E-FSQ-004: levels are {list(levels)}, the model was trained with {list(model.levels)}; "
            "leave them out or load another run"
        )
    if embedding_dim is not None and embedding_dim != model.embedding_dim:
        raise UsageError(
            f"E-FSQ-004: embedding_dim is {embedding_dim}, the model was trained with {model.embedding_dim}; "
            "leave it out or load another run"
        )
    return model.encode(x)
