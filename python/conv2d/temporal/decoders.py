"""Every decoder of one run under one roof: names, and what ``hsmm.json`` holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, get_args

from conv2d.errors import UsageError
from conv2d.temporal.hmm import HMM
from conv2d.temporal.hsmm import HSMM
from conv2d.temporal.median import MedianHysteresisPolicy
from conv2d.temporal.min_dwell import MinDwell
from conv2d.temporal.mode import ModeFilter
from conv2d.temporal.protocol import Decoder, require_positive
from conv2d.temporal.raw import Raw

DecoderName = Literal["raw", "mode", "min_dwell", "hmm", "hsmm", "hsmm_uniform_transitions", "median_hysteresis"]
DECODER_NAMES: tuple[DecoderName, ...] = get_args(DecoderName)

FORMAT = "conv2d-decoders/1"

_CLASSES: dict[str, type[Raw | ModeFilter | MinDwell | HMM | HSMM | MedianHysteresisPolicy]] = {
    "raw": Raw,
    "mode": ModeFilter,
    "min_dwell": MinDwell,
    "hmm": HMM,
    "hsmm": HSMM,
    "median_hysteresis": MedianHysteresisPolicy,
}


def decoder_from_dict(data: Any) -> Decoder:
    """Rebuild one decoder from its ``to_dict()``.

    Raises:
        UsageError: unknown kind or format version (E-TEMPORAL-006).

    Example:
        >>> decoder_from_dict(ModeFilter(window_s=2.0, frame_s=0.5).to_dict())
        ModeFilter(window_s=2.0, frame_s=0.5)
    """
    kind = data.get("kind") if isinstance(data, dict) else None
    if kind not in _CLASSES:
        raise UsageError(f"E-TEMPORAL-006: got a decoder of kind {kind!r}, expected one of {', '.join(_CLASSES)}")
    decoder: Decoder = _CLASSES[kind].from_dict(data)
    return decoder


@dataclass(frozen=True)
class DecoderSet(Mapping[str, Decoder]):
    """Fitted decoders by name, as a mapping in the order of ``DECODER_NAMES``.

    Args:
        decoders: name to decoder.
        frame_s: seconds between the frames that they were fitted for; decoding frames at another pace needs another
            fit.
        tuning: what was tried and chosen, for reports; plain JSON values.
        subjects: whose recordings were seen in fitting and tuning.

    Example:
        >>> decoders = DecoderSet({"raw": Raw(), "mode": ModeFilter(window_s=2.0, frame_s=0.5)}, frame_s=0.5)
        >>> list(DecoderSet.from_dict(decoders.to_dict()))
        ['raw', 'mode']
    """

    decoders: dict[str, Decoder]
    frame_s: float
    tuning: dict[str, Any] = field(default_factory=dict)
    subjects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the names and bring them into order."""
        require_positive(self.frame_s, "frame_s")
        unknown = sorted(set(self.decoders) - set(DECODER_NAMES))
        if unknown:
            raise UsageError(f"E-TEMPORAL-011: got decoders {unknown}, expected some of {', '.join(DECODER_NAMES)}")
        ordered = {name: self.decoders[name] for name in DECODER_NAMES if name in self.decoders}
        object.__setattr__(self, "decoders", ordered)

    def __getitem__(self, name: str) -> Decoder:
        """The decoder of a name; UsageError (E-TEMPORAL-011) names those that there are."""
        if name not in self.decoders:
            raise UsageError(f"E-TEMPORAL-011: got the decoder {name!r}, expected one of {', '.join(self.decoders)}")
        return self.decoders[name]

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of ``DECODER_NAMES``."""
        return iter(self.decoders)

    def __len__(self) -> int:
        """Number of decoders."""
        return len(self.decoders)

    def __contains__(self, name: object) -> bool:
        """Whether there is a decoder of this name."""
        return name in self.decoders

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        return {
            "format": FORMAT,
            "frame_s": self.frame_s,
            "subjects": list(self.subjects),
            "tuning": self.tuning,
            "decoders": {name: decoder.to_dict() for name, decoder in self.decoders.items()},
        }

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild what :meth:`to_dict` gave.

        Raises:
            UsageError: unknown format version, or a decoder that cannot be read (E-TEMPORAL-006).
        """
        got = data.get("format") if isinstance(data, dict) else type(data).__name__
        if got != FORMAT:
            raise UsageError(
                f"E-TEMPORAL-006: got decoders of format {got!r}, expected {FORMAT!r}; train again with this version"
            )
        try:
            decoders = {str(name): decoder_from_dict(stored) for name, stored in data["decoders"].items()}
            return cls(decoders, float(data["frame_s"]), dict(data["tuning"]), tuple(map(str, data["subjects"])))
        except (KeyError, TypeError, AttributeError) as problem:
            raise UsageError(
                f"E-TEMPORAL-006: the stored decoders cannot be read ({problem!r}), expected what to_dict() wrote"
            ) from problem
