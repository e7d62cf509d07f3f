"""What is fitted on top of the network: the temperature of its probabilities and the decoders of timelines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.calibration.temperature import TemperatureScaling
from conv2d.config import Config
from conv2d.errors import DataError
from conv2d.tasks.behavior.corpus import Corpus, Place
from conv2d.tasks.behavior.frames import centre_sample
from conv2d.tasks.behavior.inference import Scores, to_frames
from conv2d.temporal.decoders import DecoderSet
from conv2d.temporal.hmm import HMM
from conv2d.temporal.hsmm import HSMM
from conv2d.temporal.median import MedianHysteresisPolicy
from conv2d.temporal.min_dwell import MinDwell
from conv2d.temporal.tuning import LabelledSequence, tune_decoders

FORMAT = "conv2d-calibration/1"
MIN_DWELL, WINDOW_SIZE = 5, 7  # frames of the median policy where the experiment gives none
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Decoding:
    """Calibration and decoders of one run; ``name`` is the decoder that the experiment uses.

    ``prior`` (K,) are the class shares of the training windows: what is said of a window without data.
    """

    temperature: TemperatureScaling
    prior: FloatArray
    decoders: DecoderSet
    name: str

    @property
    def posterior(self) -> HMM | HSMM:
        """The model whose filtered and smoothed posteriors are given: the HMM where that decodes, else the HSMM."""
        model = self.decoders["hmm" if self.name == "hmm" else "hsmm"]
        assert isinstance(model, HMM | HSMM)
        return model

    def calibrate(self, logits: FloatArray, has_data: NDArray[np.bool_]) -> FloatArray:
        """Probabilities (N, K) of windows, each by itself; a window without data gets the class shares."""
        return np.where(has_data[:, None], self.temperature.transform(logits), self.prior)

    def decode(self, name: str, log_proba: FloatArray, has_data: NDArray[np.bool_], *, ends: bool) -> NDArray[np.int64]:
        """Labels (T,) by one decoder; where no frame has data, a rule without a model gives the commonest class.

        ``ends`` says whether the recording ends with the last frame.
        """
        decoder = self.decoders[name]
        if isinstance(decoder, HMM | HSMM):
            return decoder.decode(log_proba, has_data, ends=ends).labels
        if not has_data.any():
            return np.full(len(log_proba), int(self.prior.argmax()))
        return decoder.decode(log_proba, has_data).labels

    def shortest_stay(self, name: str) -> int | None:
        """The shortest segment in frames that a decoder guarantees inside a recording; None without a guarantee."""
        decoder = self.decoders[name]
        if isinstance(decoder, MinDwell):
            return decoder.frames
        return decoder.min_dwell if isinstance(decoder, MedianHysteresisPolicy) else None

    def calibration_to_dict(self) -> dict[str, Any]:
        """``calibration.json``."""
        return {"format": FORMAT, "temperature": self.temperature.to_dict(), "prior": self.prior.tolist()}

    def decoders_to_dict(self) -> dict[str, Any]:
        """``hsmm.json``."""
        return {**self.decoders.to_dict(), "used": self.name}

    @classmethod
    def from_dicts(cls, calibration: dict[str, Any], decoders: dict[str, Any]) -> "Decoding":
        """Read both back; another version is refused."""
        if calibration.get("format") != FORMAT:
            raise DataError(
                f"E-RUN-002: calibration.json has format {calibration.get('format')!r}, this version reads {FORMAT!r}; "
                "train again or use the version that wrote it"
            )
        temperature = TemperatureScaling.from_dict(calibration["temperature"])
        prior = np.asarray(calibration["prior"], np.float64)
        return cls(temperature, prior, DecoderSet.from_dict(decoders), str(decoders["used"]))


def fit_temperature(
    config: Config, corpus: Corpus, evaluated: Sequence[tuple[NDArray[np.int64], FloatArray, Place]]
) -> TemperatureScaling:
    """Fit the temperature on labels, logits and windows that were held out."""
    label = np.concatenate([labels for labels, _, _ in evaluated])
    if not len(label):
        raise DataError(
            f"E-EXP-011: none of the windows {config.data.hop} samples apart has both a label and data, expected some "
            "to calibrate on; lower data.hop, or add recordings"
        )
    logits = np.concatenate([logits for _, logits, _ in evaluated])
    subjects = np.concatenate([corpus.subject_of(part) for _, _, part in evaluated])
    return TemperatureScaling().fit(logits, label, groups=subjects.tolist())


def fit_decoding(
    config: Config,
    corpus: Corpus,
    out_of_fold: Sequence[Scores],
    evaluated: Sequence[tuple[NDArray[np.int64], FloatArray, Place]],
    prior: FloatArray,
) -> Decoding:
    """Fit on out-of-fold scores: temperature on ``evaluated`` (labels, logits, windows), decoders on all frames."""
    temperature = fit_temperature(config, corpus, evaluated)
    data, temporal = config.data, config.model.architecture.temporal
    by_name = {recording.name: recording for recording in corpus.recordings}
    sequences = []
    for scores in out_of_fold:
        for frames in to_frames(corpus, scores):
            recording = by_name[frames.recording]
            # A frame stands for its centre, whatever rule the windows are judged by.
            labels = recording.labels[centre_sample(recording, frames.start, frames.window)]
            proba = np.where(frames.has_data[:, None], temperature.transform(frames.logits), prior)
            log_proba = np.log(np.maximum(proba, 1e-12))
            ends = recording.n_samples - centre_sample(recording, frames.start, frames.window)[-1] <= data.decode_hop
            sequences += [
                LabelledSequence(
                    log_proba[piece],
                    labels[piece],
                    frames.subject,
                    frames.has_data[piece],
                    bool(ends) and piece.stop == len(frames),
                )
                for piece in frames.pieces(data.decode_hop)
                if (labels[piece] >= 0).any() and frames.has_data[piece].any()
            ]
    frame_s = data.frame_s
    dwell, window = temporal.min_dwell_frames(frame_s), temporal.window_frames(frame_s)
    given = None if temporal.emission_weight == "auto" else float(temporal.emission_weight)
    decoders = tune_decoders(
        sequences,
        n_states=len(corpus.selection.classes),
        frame_s=frame_s,
        durations=temporal.durations,
        max_duration_s=temporal.max_duration_s,
        transitions=temporal.transitions,
        emission_weight=given,
        mode_window_s=None if window is None else window * frame_s,
        min_dwell_s=None if dwell is None else dwell * frame_s,
        median_hysteresis=MedianHysteresisPolicy(dwell or MIN_DWELL, window_size=window or WINDOW_SIZE),
    )
    return Decoding(temperature, prior, decoders, temporal.type)
