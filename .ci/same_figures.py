"""Hold the figures of a metrics.json against those that the contract's score.py has found on its own.

usage: score.py DATASET RESULTS ... | same_figures.py RESULTS/metrics.json      exit 1 where a figure differs
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

TOLERANCE = 1e-6
# The scorer's names, and where metrics.json has them.
PLACES = {
    **{name: ("level", "window", name) for name in ("n", "accuracy", "macro_f1", "nll", "ece")},
    **{f"sample_{name}": ("level", "sample", name) for name in ("accuracy", "macro_f1")},
    **{f"f1_{percent}": ("level", "segment", f"f1@{percent}") for percent in (10, 25, 50)},
    "edit": ("level", "segment", "edit"),
    "worst": ("summary", "worst_subject_macro_f1"),
    "worst_subject": ("summary", "worst_subject"),
}


def differences(metrics: dict[str, Any], scored: dict[str, Any]) -> list[str]:
    """A sentence for each figure of the scorer that metrics.json has otherwise; a window without prediction is one."""
    found = []
    if scored["missing"] != 0:
        found.append(f"{scored['missing']} labelled windows have no prediction, expected none")
    for name, keys in PLACES.items():
        ours: Any = metrics
        for key in keys:
            ours = ours[key]
        theirs = scored[name]
        if not (
            math.isclose(ours, theirs, rel_tol=0, abs_tol=TOLERANCE) if _is_number(ours, theirs) else ours == theirs
        ):
            found.append(f"{'.'.join(keys)} is {ours!r}, score.py finds {name} {theirs!r}")
    return found


def _is_number(*values: Any) -> bool:
    return all(isinstance(value, int | float) for value in values)


if __name__ == "__main__":
    text = sys.stdin.read()
    print(text, end="")
    wrong = differences(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), json.loads(text))
    print("\n".join(wrong) or f"metrics.json has the same figures, within {TOLERANCE:g}")
    sys.exit(bool(wrong))
