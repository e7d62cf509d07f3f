"""An experiment for a data set that nobody has written one for, with the reason of each choice."""

import re
from collections.abc import Sequence
from typing import Protocol

from conv2d.config.experiment import Config
from conv2d.config.load import parse_config
from conv2d.config.overrides import parse_override

WINDOW_S = 2.56  # two to three strides of a person or a dog; the window of the UCI HAR papers
FEWEST, MOST = 96, 1024  # samples in a window: enough for the convolutions, bounded at high rates
WIDTHS = ((9, 32), (24, 24), (64, 16), (256, 8))  # up to so many sensors this width keeps under 150,000 parameters
FRAMES = 16  # a window is moved on by a sixteenth between two frames, so its length is a multiple of this


class DatasetFacts(Protocol):
    """What ``dataset.yaml`` says, as far as the defaults need it."""

    @property
    def name(self) -> str:
        """Name of the data set."""

    @property
    def rate_hz(self) -> float:
        """Samples per second."""

    @property
    def sensors(self) -> Sequence[str]:
        """Names of the sensors."""

    @property
    def channels(self) -> Sequence[str]:
        """Names of the channels of each sensor."""

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes."""


def default_config(meta: DatasetFacts, overrides: Sequence[str] = ()) -> tuple[Config, list[str]]:
    """Choose an experiment for a data set and say why, a sentence a choice.

    A window lasts 2.56 s, but has 96 samples at least and 1024 at most, rounded to a multiple of 16 samples; windows
    overlap by half, frames of the timeline are a sixteenth of a window apart; every sensor, channel and class is used.
    The network is the narrower the more sensors there are. Everything else has the default of its key. ``overrides``
    (``key=value``) go on top, and what they say is not explained.

    >>> from types import SimpleNamespace
    >>> meta = SimpleNamespace(name="cows", rate_hz=10, sensors=["collar"], channels=["acc_x"], classes=["a", "b"])
    >>> config, reasons = default_config(meta)
    >>> reasons[0]
    'data.window_size: 96 samples (9.6 s at 10 Hz), the fewest that the network is given'
    """
    window = min(max(FRAMES * round(WINDOW_S * meta.rate_hz / FRAMES), FEWEST), MOST)
    why = {FEWEST: "the fewest that the network is given", MOST: "the most that the network is given"}
    seconds = f"{window / meta.rate_hz:.3g} s at {meta.rate_hz:g} Hz"
    width = next((width for most, width in WIDTHS if len(meta.sensors) <= most), WIDTHS[-1][1])
    config = parse_config(
        {
            "name": re.sub(r"[^A-Za-z0-9_.-]+", "_", meta.name).strip("_.-") or "experiment",
            "model": {"architecture": {"width": width}},
            "data": {
                "name": meta.name,
                "sampling_rate": meta.rate_hz,
                "window_size": window,
                "sensors": list(meta.sensors),
                "channels": list(meta.channels),
                "classes": list(meta.classes),
            },
        },
        overrides,
        origin=f"defaults for the data set {meta.name!r}",
    )
    data = config.data
    rotation = config.training.augmentation.rotation_deg
    reasons = {
        "data.window_size": f"{window} samples ({seconds}), {why.get(window, 'about 2.56 s')}",
        "data.hop": f"{data.hop} samples, half a window",
        "data.decode_hop": f"{data.decode_hop} samples between frames of the timeline, about a sixteenth of a window",
        "data.label_rule": "centre, a window has the label of its centre sample",
        "data.sensors": f"all {len(meta.sensors)} ({', '.join(meta.sensors)})",
        "data.channels": f"all {len(meta.channels)} ({', '.join(meta.channels)})",
        "data.classes": f"all {len(meta.classes)} ({', '.join(meta.classes)})",
        "training.augmentation.rotation_deg": f"{rotation:g}, for sensors that sit nearly the same way on everyone; "
        "raise it to 180 where they do not",
        "model.architecture.width": f"{width}, the narrower the more sensors",
    }
    given = {".".join(parse_override(text).place) for text in overrides}
    return config, [f"{key}: {reason}" for key, reason in reasons.items() if key not in given]
