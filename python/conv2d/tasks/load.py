"""Load a run by what it says it is: the one place that knows which tasks there are."""

from pathlib import Path
from typing import TYPE_CHECKING

from conv2d.errors import DataError
from conv2d.files import read_json
from conv2d.training.run_directory import check_run

if TYPE_CHECKING:
    from conv2d.tasks.behavior.model import BehaviorModel


def load(run: str | Path) -> "BehaviorModel":
    """Load the model of a run directory written by ``conv2d train``.

    Raises
    ------
    DataError
        Not a run directory, damaged, of an unknown version, or of a task that this version lacks.
    """
    path = Path(run)
    check_run(path)
    task = read_json(path / "model.json").get("task")
    if task == "behavior":
        from conv2d.tasks.behavior.model import BehaviorModel

        return BehaviorModel.load(path)
    raise DataError(f"E-RUN-004: {path} is a run of task {task!r}, this version knows behavior; update conv2d")
