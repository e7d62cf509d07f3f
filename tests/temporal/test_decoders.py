"""The file that holds every decoder: names, order, versions, exactness."""

import json

import numpy as np
import pytest

from conv2d.errors import UsageError
from conv2d.temporal import (
    DECODER_NAMES,
    HMM,
    HSMM,
    DecoderSet,
    MedianHysteresisPolicy,
    MinDwell,
    ModeFilter,
    Raw,
    decoder_from_dict,
)


@pytest.fixture
def every():
    labels = [np.repeat([0, 1, 2, 0, 2, 1], 9)]
    hsmm = HSMM(3, 0.5).fit(labels, ["s1"])
    made = {
        "hsmm_uniform_transitions": hsmm.with_uniform_transitions(),
        "hsmm": hsmm,
        "hmm": HMM(3, 0.5).fit(labels, ["s1"]),
        "median_hysteresis": MedianHysteresisPolicy(),
        "min_dwell": MinDwell(2.0, 0.5),
        "mode": ModeFilter(2.0, 0.5),
        "raw": Raw(),
    }
    return DecoderSet(made, frame_s=0.5, tuning={"hsmm": {"objective": 0.5}}, subjects=("s1",))


def test_stored_and_read_back_decodes_the_same(every):
    again = DecoderSet.from_dict(json.loads(json.dumps(every.to_dict(), allow_nan=False)))
    assert list(again) == list(DECODER_NAMES)
    assert again.to_dict() == every.to_dict()
    assert (again.frame_s, again.subjects, again.tuning) == (0.5, ("s1",), {"hsmm": {"objective": 0.5}})
    scores = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 60))
    for name, decoder in every.items():
        np.testing.assert_array_equal(decoder.decode(scores).labels, again[name].decode(scores).labels)


def test_unknown_names_versions_and_kinds_are_refused(every):
    with pytest.raises(UsageError, match=r"got decoders \['kalman'\], expected some of raw, mode"):
        DecoderSet({"kalman": Raw()}, frame_s=0.5)
    with pytest.raises(UsageError, match="got the decoder 'kalman', expected one of raw, mode"):
        every["kalman"]
    assert "kalman" not in every
    with pytest.raises(UsageError, match="'conv2d-decoders/2', expected 'conv2d-decoders/1'"):
        DecoderSet.from_dict(every.to_dict() | {"format": "conv2d-decoders/2"})
    with pytest.raises(UsageError, match="kind 'kalman', expected one of raw"):
        decoder_from_dict({"kind": "kalman"})
    newer = json.loads(json.dumps(every.to_dict()))
    newer["decoders"]["hsmm"]["format"] = "conv2d-hsmm/2"
    with pytest.raises(UsageError, match="conv2d-hsmm/2"):
        DecoderSet.from_dict(newer)
    for missing in ("decoders", "frame_s", "tuning"):
        with pytest.raises(UsageError, match=f"cannot be read .*{missing}"):
            DecoderSet.from_dict({key: value for key, value in every.to_dict().items() if key != missing})
