"""What a recording that comes from no file must fulfil, as one from a file does."""

import numpy as np

from conv2d.data.recording import Recording
from conv2d.data.recording_file import check_time
from conv2d.errors import DataError


def check_recording(recording: Recording) -> None:
    """Refuse what reading a file would refuse, and labels without a class.

    Raises
    ------
    DataError
        Times that are missing, do not increase or have another rate than declared (E-DATA-008, E-DATA-007); infinite
        values (E-DATA-009); a label that is no index into ``classes`` (E-DATA-010). NaN is a missing sample.
    """
    check_time(recording.time_s, recording.rate_hz, recording.name)
    if np.isinf(recording.samples).any():
        c, s, row = (int(i) for i in np.argwhere(np.isinf(recording.samples))[0])
        raise DataError(
            f"E-DATA-009: channel {recording.sensors[s]}/{recording.channels[c]} of recording {recording.name} is "
            f"infinite in row {row}, expected numbers within float32 or NaN for a missing sample; correct or blank it"
        )
    labels = recording.labels
    if len(labels) and not -1 <= labels.min() <= labels.max() < len(recording.classes):
        raise DataError(
            f"E-DATA-010: recording {recording.name} has labels from {labels.min()} to {labels.max()}, expected -1 "
            f"(none) to {len(recording.classes) - 1}, an index into its {len(recording.classes)} classes; correct them"
        )
