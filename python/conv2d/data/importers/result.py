"""What an import tells when it is done."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Progress = Callable[[int, int], None]  # called with (done, total), in a unit of the format's own


@dataclass(frozen=True)
class ImportResult:
    """What was imported; ``labels`` counts rows, ``rate_is_measured`` says that no rate was given.

    ``notes`` are sentences on what was decided, dropped or unusual. ``figures`` holds what a format counts beside that,
    such as the windows of a published table; its values are those of JSON.
    """

    path: str
    n_files: int
    n_recordings: int
    n_subjects: int
    n_rows: int
    rate_hz: float
    rate_is_measured: bool
    unlabelled_rows: int
    labels: dict[str, int]
    notes: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "notes": list(self.notes)}
