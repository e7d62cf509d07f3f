"""``metrics.json`` as a few tables for a person."""

from collections.abc import Mapping
from typing import Any

from conv2d.cli.output import print_table

WINDOW = ("accuracy", "macro_f1", "nll", "ece", "n")
TIMELINE = ("f1@10", "f1@25", "f1@50", "edit", "predicted", "true")


def print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print network beside baselines, decoders beside each other, and the worst subject."""
    simulated = " (simulated data)" if metrics["provenance"]["simulated"] else ""
    window = metrics["level"]["window"]
    rows = [["network", *(window[key] for key in WINDOW)]]
    rows += [[name, *_figures(figures)] for name, figures in metrics["baselines"].items()]
    print_table(["windows" + simulated, *WINDOW], rows)
    columns = ["accuracy", "macro_f1", *TIMELINE]
    rows = []
    for name, levels in metrics["decoders"].items():
        mark = " *" if name == metrics["decoder"] else ""
        sample, segment = levels["sample"], levels["segment"]
        rows.append([name + mark, sample["accuracy"], sample["macro_f1"], *(segment[key] for key in TIMELINE)])
    print_table([f"timelines{simulated}, * used", *columns], rows)
    chosen = metrics["headline"]
    shown = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in chosen.values())
    print("  ".join(f"{key} {text}" for key, text in zip(chosen, shown, strict=True)))
    summary = metrics["summary"]
    print(f"worst subject: {summary['worst_subject']}, window macro-F1 {summary['worst_subject_macro_f1']:.3f}")


def _figures(figures: Mapping[str, Any] | str) -> list[Any]:
    """The cells of a baseline; one that could not be fitted is a word instead of figures."""
    return [figures] * len(WINDOW) if isinstance(figures, str) else [figures[key] for key in WINDOW]
