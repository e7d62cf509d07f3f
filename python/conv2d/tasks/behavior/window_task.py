"""The behaviour task on windows that were cut already: a calibrated network, and no decoder of timelines."""

from collections.abc import Sequence

from conv2d.calibration.temperature import TemperatureScaling
from conv2d.config import Config
from conv2d.tasks.behavior.corpus import Place
from conv2d.tasks.behavior.decoding import Decoding, fit_temperature
from conv2d.tasks.behavior.in_memory import WindowCorpus
from conv2d.tasks.behavior.inference import Scores
from conv2d.tasks.behavior.task import BehaviorTask
from conv2d.temporal.decoders import DecoderSet

UNGROUPED = (
    "no groups were given, so the windows held out for calibration are contiguous blocks of those given: where windows "
    "of one subject, or overlapping ones, are on both sides, the probabilities come out too confident; give the "
    "subjects as groups="
)


class WindowTask(BehaviorTask):
    """A `BehaviorTask` whose corpus holds windows; ``grouped`` says whether their subjects are known.

    Without ``calibrate`` there are no inner folds: one network is trained, and its temperature is 1.
    """

    def __init__(self, config: Config, corpus: WindowCorpus, *, grouped: bool, calibrate: bool) -> None:
        super().__init__(config, corpus)
        self.grouped, self.calibrate = grouped, calibrate

    def inner_parts(self) -> Sequence[tuple[Place, Place]]:
        """Inner folds by subject; by blocks of windows where subjects are not known, or are fewer than three."""
        if not self.calibrate:
            return ()
        parts = super().inner_parts()
        if not self.grouped:
            self.warnings = (UNGROUPED, *self.warnings[1:])
        return parts

    def fit_decoding(self, out_of_fold: Sequence[Scores]) -> None:
        """Temperature on out-of-fold scores; decoders need the order of frames, which windows do not have."""
        self.out_of_fold = tuple(out_of_fold)
        evaluated = [self.evaluated(scores) for scores in out_of_fold]
        temperature = (
            fit_temperature(self.config, self.corpus, evaluated) if self.calibrate else TemperatureScaling.identity()
        )
        decoders = DecoderSet({}, frame_s=self.data.frame_s, subjects=temperature.subjects_)
        self.decoding = Decoding(temperature, self.shares(), decoders, self.config.model.architecture.temporal.type)
