"""How each joined sample came about: the bits of the quality column ``<sensor>_how`` and what they mean."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conv2d.errors import DataError

FORMAT = "conv2d-joining/1"
COPIED, RESAMPLED, BRIDGED, EDGE, CLIPPED, MISSING, UNCERTAIN, DUPLICATE = (1 << bit for bit in range(8))
HOW = {
    "copied": COPIED,
    "resampled": RESAMPLED,
    "bridged": BRIDGED,
    "edge": EDGE,
    "clipped": CLIPPED,
    "missing": MISSING,
    "uncertain": UNCERTAIN,
    "duplicate": DUPLICATE,
}
MEANING = {
    "copied": "the source's own sample",
    "resampled": "interpolated between the source's samples by the low-pass filter",
    "bridged": "a short gap of the source was filled within a sample of here",
    "edge": "the filter reaches beyond an end of the source or a long gap, where it is less exact",
    "clipped": "a source sample within a sample of here stands at the end of the sensor's range",
    "missing": "no source sample: before the first, after the last, or in a long gap; the value is NaN",
    "uncertain": "the clock's rate was not measured here but taken from another stretch, or assumed",
    "duplicate": "the source had two rows for this time; the first was kept",
}


def count_how(how: NDArray[np.uint8]) -> dict[str, int]:
    """Samples with each bit set, by name.

    >>> count_how(np.array([1, 2, 2 | 8, 32], np.uint8))["resampled"]
    2
    """
    return {name: int(np.count_nonzero(how & bit)) for name, bit in HOW.items()}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex; DataError E-DATA-001 where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"E-DATA-001: cannot read {path} ({error.strerror}); check the source") from error
