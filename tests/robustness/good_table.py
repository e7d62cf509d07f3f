"""A good table of two recordings and its mapping, from which broken ones are made."""

from typing import Any

N = 120  # rows, those of run 1 before those of run 2
RATE_HZ = 50.0
COLUMNS = ("t", "ax", "ay", "dog", "run", "what")
MAPPING: dict[str, Any] = {
    "name": "dogs",
    "time": {"column": "t", "unit": "s"},
    "channels": {"back/acc_x": "ax", "back/acc_y": "ay"},
    "label": {"column": "what", "null": ["none"]},
    "subject": {"column": "dog"},
    "recording": {"columns": ["dog", "run"]},
}


def good_rows() -> list[dict[str, Any]]:
    """The rows, values as they are written."""
    return [
        {
            "t": f"{10 + i % 60 / RATE_HZ:.2f}",
            "ax": f"{0.01 * i:.2f}",
            "ay": f"{9.5 + 0.001 * i:.3f}",
            "dog": "rex",
            "run": str(1 + i // 60),
            "what": ("sit", "walk", "none")[i // 15 % 3],
        }
        for i in range(N)
    ]


def text_of(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    """The rows as CSV; the row with index i stands in line i + 2."""
    lines = [delimiter.join(COLUMNS), *(delimiter.join(str(row[c]) for c in COLUMNS) for row in rows)]
    return "\n".join(lines) + "\n"


def mapping_with(**changes: Any) -> dict[str, Any]:
    """The mapping with keys changed; one that is ... is left out."""
    return {k: v for k, v in {**MAPPING, **changes}.items() if v is not ...}
