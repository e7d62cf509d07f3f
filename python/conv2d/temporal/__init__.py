"""From the scores of frames to a timeline: HSMM, HMM, filters, their choice, and learning without labels.

Seconds in public arguments, frames inside. Everything is decoded by ``conv2d_core``.
"""

from conv2d.temporal.categorical_emissions import CategoricalEmissions
from conv2d.temporal.decoders import DECODER_NAMES, DecoderSet, decoder_from_dict
from conv2d.temporal.emissions import EmissionModel, ScoreEmissions
from conv2d.temporal.gaussian_emissions import GaussianEmissions
from conv2d.temporal.hmm import HMM
from conv2d.temporal.hsmm import HSMM
from conv2d.temporal.median import MedianHysteresisPolicy
from conv2d.temporal.min_dwell import MinDwell
from conv2d.temporal.mode import ModeFilter
from conv2d.temporal.protocol import Decoded, Decoder
from conv2d.temporal.raw import Raw
from conv2d.temporal.stream import HsmmStream, OpenSegment, StreamEvents
from conv2d.temporal.tuning import LabelledSequence, timeline_objective, tune_decoders

__all__ = [
    "DECODER_NAMES",
    "HMM",
    "HSMM",
    "CategoricalEmissions",
    "Decoded",
    "Decoder",
    "DecoderSet",
    "EmissionModel",
    "GaussianEmissions",
    "HsmmStream",
    "LabelledSequence",
    "MedianHysteresisPolicy",
    "MinDwell",
    "ModeFilter",
    "OpenSegment",
    "Raw",
    "ScoreEmissions",
    "StreamEvents",
    "decoder_from_dict",
    "timeline_objective",
    "tune_decoders",
]
