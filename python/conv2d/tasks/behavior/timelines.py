"""The timelines of some recordings, as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from conv2d.data.interchange.table import Table
from conv2d.tasks.behavior.tables import frames_table, segments_table
from conv2d.tasks.behavior.timeline import Result


@dataclass(frozen=True, eq=False)
class Timelines:
    """What ``predict_timeline`` gives: the tables that ``conv2d run`` writes, in memory.

    ``results`` has all there is of each recording, ``too_short`` names those in which no window fits, which have no
    row.
    """

    results: Sequence[Result]
    classes: tuple[str, ...]
    too_short: tuple[str, ...] = ()

    @cached_property
    def segments(self) -> Table:
        """A row a segment: ``recording, start_s, end_s, label, confidence`` (mean smoothed posterior of the label).

        The columns of ``segments.csv``; those that this version does not fill are null.
        """
        return Table(segments_table(self.results, self.classes))

    @cached_property
    def frames(self) -> Table:
        """A row a frame: where it lies, its codes, ``p_<class>`` (that window alone, calibrated), ``filtered_<class>``,
        ``label`` (decoded). The columns of ``predictions.parquet``.
        """
        return Table(frames_table(self.results, self.classes))
