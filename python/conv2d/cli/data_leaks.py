"""``conv2d data leaks``: what trivial inputs tell of the label."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conv2d.cli.options import CONFIG, JSON

if TYPE_CHECKING:
    from conv2d.data.leaks import LeakReport

MARK = "leaks.json"


def leaks(
    dataset: Annotated[Path, typer.Argument(help="The dataset folder.", show_default=False)],
    target: Annotated[str, typer.Option(help="What is to be told: label, or a column of recordings.csv.")] = "label",
    config: CONFIG = None,
    run: Annotated[
        Path | None, typer.Option(help="A run or a results folder, whose model is held against the inputs.")
    ] = None,
    window: Annotated[
        float | None, typer.Option(min=0.01, max=3600, help="Seconds of a window.", show_default=False)
    ] = None,
    draws: Annotated[int, typer.Option(min=399, help="Labellings that give chance.")] = 399,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same figures.")] = 0,
    output: Annotated[Path | None, typer.Option(help="Folder for leaks.json, leaks.csv and leaks.png.")] = None,
    require: Annotated[
        bool, typer.Option("--require", help="End with 4 where a leak is found, 5 where none could be.")
    ] = False,
    json: JSON = False,
) -> None:
    """Measure what trivial inputs tell of the label, by subject, beside chance: sensors, position, hour, identity.

    Windows are those of --config or of the run, else 2 s, and do not overlap.
    """
    from conv2d.cli.output import print_json
    from conv2d.cli.progress import progress
    from conv2d.config import load_config
    from conv2d.data import Dataset
    from conv2d.data.leaks import Cutting, measure_leaks
    from conv2d.data.meta import in_words
    from conv2d.errors import GateFailed, NotMeasurable
    from conv2d.files import refuse_foreign

    if output is not None:
        refuse_foreign(output, mark=MARK)
    data = Dataset.open(dataset)
    own = None if run is None else run / "config.yaml"
    if config is None and own is not None and own.is_file():
        config = own
    settings = None if config is None else load_config(config)
    if settings is None:
        cutting = Cutting.of(data, window_s=window)
    else:
        cutting = Cutting.of(data, settings.data, settings.name, window)
    model = None if run is None else _balanced_accuracy(run, cutting.classes if target == "label" else None)
    with progress(json=json) as shown, shown.task("reading and measuring", len(data.table)) as task:
        report = measure_leaks(data, target, cutting=cutting, draws=draws, seed=seed, progress=task.advance)
    told = report.to_dict()
    if settings is not None:
        told["provenance"] |= {"config_sha256": settings.sha256()}
    if model is not None:
        told["model"] = {"path": str(run), "balanced_accuracy": model, "share_of_model": report.share_of_model(model)}
    if output is not None:
        _write(report, told, model, output)
    if json:
        print_json(told)
    else:
        _print(report, model)
        if output is not None:
            print(f"leaks.json, leaks.csv and leaks.png written to {output}")
    if require and report.leaks:
        raise GateFailed(
            f"{report.name} leaks {report.target} by {', '.join(report.leaks)}, expected no leak; see docs/leaks.md "
            "for what each means, or leave out --require"
        )
    if require and report.unmeasured:
        raise NotMeasurable(
            f"none of the inputs that could leak was measured on {report.name} ({in_words(report.unmeasured)}), "
            "expected one at least for --require; the report says why each was not, see docs/leaks.md"
        )


def _print(report: "LeakReport", model: float | None) -> None:
    from conv2d.cli.output import print_table

    windows = f"{report.n_windows} labelled windows of {report.window_s:g} s ({report.cutting.origin})"
    simulated = " (simulated)" if report.provenance["simulated"] else ""
    print(
        f"{report.name}{simulated}: {report.target}, {len(report.classes)} classes, {windows}, {report.n_recordings} "
        f"recordings, {len(report.subjects)} subjects left out one at a time"
    )
    shares = {} if model is None else report.share_of_model(model)
    columns = ["input", "verdict", "reached", "chance", "5 %", "95 %", "p (Holm)", "subjects above"]
    rows: list[list[Any]] = []
    for found in report.inputs:
        above = f"{found.subjects_above} of {found.measured_subjects}" if found.by_subject else None
        figures = [found.balanced_accuracy, found.chance, found.chance_low, found.chance_high, found.p_holm]
        share = [] if model is None else [f"{shares[found.name]:.0%}" if found.name in shares else None]
        rows.append([found.name, found.verdict, *figures, above, *share])
    print_table([*columns, *([] if model is None else ["of the model"])], rows)
    if model is not None:
        print(f"model: balanced accuracy {model:.3f}; the last column is how much of what it has above chance")
    for sentence in report.sentences():
        print(sentence)


def _write(report: "LeakReport", told: dict[str, Any], model: float | None, output: Path) -> None:
    from conv2d.files import folder_aside, write_json
    from conv2d.viz.leaks import leaks_figure

    inputs = report.inputs
    with folder_aside(output, mark=MARK) as aside:
        write_json(aside / MARK, told)
        (aside / "leaks.csv").write_text(report.to_csv(), encoding="utf-8")
        leaks_figure(
            [found.name for found in inputs],
            [found.verdict for found in inputs],
            [found.balanced_accuracy for found in inputs],
            [found.chance for found in inputs],
            [
                None if found.chance_low is None or found.chance_high is None else (found.chance_low, found.chance_high)
                for found in inputs
            ],
            [[figure.balanced_accuracy for figure in (found.by_subject or {}).values()] for found in inputs],
            model=model,
            title=f"What trivial inputs tell of {report.target}: {report.name}",
            path=aside / "leaks.png",
        )


def _balanced_accuracy(run: Path, classes: tuple[str, ...] | None) -> float:
    """The balanced accuracy of windows on unseen subjects that a run or a results folder holds, of the same classes.

    Raises
    ------
    UsageError
        E-DATA-023: the folder holds no such figure, or one over other classes.
    """
    from conv2d.data.meta import in_words
    from conv2d.errors import UsageError
    from conv2d.files import read_json

    metrics = read_json(run / "metrics.json")
    window = metrics.get("inner_out_of_fold") or metrics.get("level", {}).get("window", {})
    value, named = window.get("balanced_accuracy"), window.get("per_class") or metrics.get("per_class") or {}
    if not isinstance(value, float) or classes is None:
        raise UsageError(
            f"E-DATA-023: {run} holds no balanced accuracy of {'windows' if classes else 'this target'}, expected a "
            "run or a results folder for the target label; leave out --run"
        )
    if set(named) != set(classes):
        raise UsageError(
            f"E-DATA-023: {run} was judged on {in_words(sorted(named))}, the audit on {in_words(sorted(classes))}; "
            "give the run's experiment with --config"
        )
    return value
