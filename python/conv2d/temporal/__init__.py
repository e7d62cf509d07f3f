"""From the scores of frames to a timeline: HSMM, HMM, filters, and the choice of their numbers.

Seconds in public arguments, frames inside. Everything is decoded by ``conv2d_core``.
"""

from conv2d.temporal.decoders import DECODER_NAMES, DecoderSet, decoder_from_dict
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
    "Decoded",
    "Decoder",
    "DecoderSet",
    "HsmmStream",
    "LabelledSequence",
    "MedianHysteresisPolicy",
    "MinDwell",
    "ModeFilter",
    "OpenSegment",
    "Raw",
    "StreamEvents",
    "decoder_from_dict",
    "timeline_objective",
    "tune_decoders",
]
