"""Live timelines of fitted models: the same as decode, in seconds, and never too late."""

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from conv2d.errors import UsageError
from conv2d.temporal import HMM, HSMM, HsmmStream, OpenSegment

PAGE = Path(__file__).parents[2] / "docs" / "streaming.md"


@pytest.fixture
def fitted(world, timeline):
    """A model of a known world; recordings mostly end in class 0, so that the end says something."""
    lengths, transitions = world
    rng = np.random.default_rng(7)
    labels = [timeline(rng, lengths, transitions, 600) for _ in range(12)]
    for sequence in labels:
        sequence[-5:] = 0
    return HSMM(3, 0.5, durations="negative_binomial", emission_weight=0.5).fit(labels)


@pytest.fixture
def recording(world, timeline, noisy):
    """Log probabilities and which frames have data."""
    lengths, transitions = world
    rng = np.random.default_rng(8)
    labels = timeline(rng, lengths, transitions, 900)
    has_data = np.ones(900, bool)
    has_data[300:340] = False
    log_proba = noisy(rng, labels, 3, strength=2.0)
    log_proba[~has_data] = np.nan
    return log_proba, has_data


def stream_all(stream, log_proba, has_data, sizes, **flush):
    events, start, turn = [], 0, 0
    while start < len(log_proba):
        stop = start + sizes[turn % len(sizes)]
        events.append(stream.push(log_proba[start:stop], has_data[start:stop]))
        start, turn = stop, turn + 1
    return [*events, stream.flush(**flush)]


def segments_of(events):
    return np.concatenate([event.segments for event in events]).tolist()


@pytest.mark.parametrize("sizes", [[1], [1, 7, 250], [900]])
@pytest.mark.parametrize("ends", [True, False])
def test_the_timeline_is_that_of_decode(fitted, recording, sizes, ends):
    assert fitted.log_final_.any()
    events = stream_all(fitted.stream(), *recording, sizes, ends=ends)
    decoded = fitted.decode(*recording, ends=ends)
    assert segments_of(events) == decoded.segments.tolist()


def test_the_score_is_that_of_decode(fitted, recording):
    stream = HsmmStream(fitted)
    stream_all(stream, *recording, [64])
    assert stream.score_ == fitted.decode(*recording).score


@pytest.mark.parametrize("censoring", ["none", "left", "right", "both"])
def test_hmm_and_every_censoring(recording, censoring, world, timeline):
    rng = np.random.default_rng(1)
    labels = [timeline(rng, *world, 500) for _ in range(3)]
    model = HMM(3, 0.5, emission_weight=0.3, censoring=censoring).fit(labels)
    events = stream_all(model.stream(), *recording, [10])
    assert segments_of(events) == model.decode(*recording).segments.tolist()


def test_a_long_stay_is_one_segment(fitted):
    """Longer than the law knows: nothing of it is given before it ends, and then all."""
    longest = fitted.log_durations_.shape[1]
    labels = np.repeat([0, 1, 2, 0, 1, 2, 0], [12, 30, 3 * longest, 12, 30, 60, 12])
    log_proba = np.log(np.where(np.eye(3)[labels] > 0, 0.98, 0.01))
    stream = fitted.stream()
    given_out = stream.push(log_proba[: 42 + 3 * longest]).segments.tolist()
    assert all(label != 2 for label, _, _ in given_out)
    assert [42, 42 + 3 * longest] in stream.tentative()[:, 1:].tolist()
    given_out += stream.push(log_proba[42 + 3 * longest :]).segments.tolist() + stream.flush().segments.tolist()
    assert given_out == fitted.decode(log_proba).segments.tolist()
    assert [2, 42, 42 + 3 * longest] in given_out


def test_open_and_tentative_tell_the_present(fitted, recording):
    log_proba, has_data = recording
    stream = fitted.stream()
    end = 0
    for t in range(0, 600, 5):
        given_out = stream.push(log_proba[t : t + 5], has_data[t : t + 5])
        if len(given_out.segments):
            assert given_out.segments[0, 1] == end
            end = given_out.segments[-1, 2]
            np.testing.assert_array_equal(given_out.segments_s, given_out.segments[:, 1:] * 0.5)
        guess = stream.tentative()
        assert guess[0, 1] == end
        assert guess[-1, 2] == stream.n_frames
        assert (np.diff(guess[:, 0]) != 0).all()
        if stream.open is not None:
            assert stream.open.start == end
            assert stream.open.label == guess[0, 0]
            assert guess[0, 2] >= stream.open.until
            assert stream.lag_s == pytest.approx((stream.n_frames - stream.open.until) * 0.5)
    stream.flush()
    assert stream.open is None
    assert len(stream.tentative()) == 0
    assert stream.lag_s == 0


def test_the_bound_in_seconds(fitted, recording):
    log_proba, has_data = recording
    stream = fitted.stream(max_lag_s=3.0)
    seen = {}
    for t in range(len(log_proba)):
        stream.push(log_proba[t], has_data[t])
        assert stream.lag_s <= 3.0
        if stream.open is not None:
            seen |= dict.fromkeys(range(stream.open.start, stream.open.until), stream.open.label)
    assert stream.forced_commits > 0
    assert stream.forced_frames > 0
    stream.reset()
    labels = np.concatenate(
        [[label] * (end - start) for label, start, end in segments_of(stream_all(stream, log_proba, has_data, [100]))]
    )
    assert all(labels[frame] == label for frame, label in seen.items())
    decoded = fitted.decode(log_proba, has_data).labels
    assert (labels == decoded).mean() > 0.9
    patient = fitted.stream(max_lag_s=400.0)
    assert segments_of(stream_all(patient, log_proba, has_data, [1])) == fitted.decode(*recording).segments.tolist()
    assert patient.forced_commits == 0


def test_posteriors_and_their_frames(fitted, recording):
    log_proba, has_data = recording
    stream = fitted.stream(filtered=True, smoothed_lag_s=4.0)
    events = stream_all(stream, log_proba, has_data, [1, 30])
    np.testing.assert_allclose(
        np.concatenate([event.filtered for event in events]), fitted.filter(log_proba, has_data), atol=1e-9
    )
    smoothed = np.concatenate([event.smoothed for event in events])
    starts = [event.smoothed_start for event in events]
    assert starts == np.cumsum([0, *(len(event.smoothed) for event in events[:-1])]).tolist()
    np.testing.assert_allclose(smoothed[-8:], fitted.smooth(log_proba, has_data)[-8:], atol=1e-9)
    t = 500
    whole = fitted.smooth(log_proba[: t + 9], has_data[: t + 9], ends=False)
    np.testing.assert_allclose(smoothed[t], whole[t], atol=1e-9)
    assert fitted.stream().push(log_proba[:3]).filtered is None


def test_a_stream_goes_on_after_save_copy_and_pickle(fitted, recording):
    log_proba, has_data = recording
    first = fitted.stream(max_lag_s=20, filtered=True, smoothed_lag_s=2)
    head = stream_all_open(first, log_proba[:455], has_data[:455])
    other = fitted.stream(max_lag_s=20, filtered=True, smoothed_lag_s=2)
    other.restore(first.save())
    outcomes = []
    for stream in (copy.deepcopy(first), pickle.loads(pickle.dumps(first)), other, first):
        rest = stream_all(stream, log_proba[455:], has_data[455:], [50])
        outcomes.append(repr([(e.segments.tolist(), e.smoothed.tolist(), e.smoothed_start) for e in rest]))
    assert len(set(outcomes)) == 1
    whole = fitted.stream(max_lag_s=20)
    assert head + segments_of(rest) == segments_of(stream_all(whole, log_proba, has_data, [455, 50]))


def stream_all_open(stream, log_proba, has_data):
    return stream.push(log_proba, has_data).segments.tolist()


def test_saved_states_that_do_not_fit_are_refused(fitted):
    stream = fitted.stream()
    stream.push(np.log(np.full((5, 3), 1 / 3)))
    saved = stream.save()
    for damaged in (b"", saved[:-1], saved[:60], b"x" + saved[1:]):
        with pytest.raises(UsageError, match="E-TEMPORAL-031"):
            stream.restore(damaged)
    for place in range(0, len(saved), 97):
        flipped = bytearray(saved)
        flipped[place] ^= 1
        with pytest.raises(UsageError, match="E-TEMPORAL-031"):
            stream.restore(bytes(flipped))
    with pytest.raises(UsageError, match="E-TEMPORAL-031: the saved state is of another model"):
        fitted.with_emissions(0.6).stream().restore(saved)
    with pytest.raises(UsageError, match=r"E-TEMPORAL-031: .* other options"):
        fitted.stream(max_lag_s=60).restore(saved)
    assert stream.save() == saved


def test_bad_calls_are_one_sentence(fitted):
    with pytest.raises(UsageError, match=r"E-TEMPORAL-001: HSMM is not fitted, expected fit\(\) before"):
        HSMM(2, 1.0).stream()
    with pytest.raises(UsageError, match=r"E-TEMPORAL-005: max_lag_s is -1, expected at least 0.5 s \(1 frames"):
        fitted.stream(max_lag_s=-1)
    with pytest.raises(UsageError, match="E-TEMPORAL-005: smoothed_lag_s is nan"):
        fitted.stream(smoothed_lag_s=float("nan"))
    stream = fitted.stream()
    with pytest.raises(UsageError, match=r"E-TEMPORAL-002: log_proba has shape \(1, 2\), expected \(T, 3\)"):
        stream.push([-0.7, -0.7])
    with pytest.raises(UsageError, match="E-TEMPORAL-003: log_proba row 1 holds NaN"):
        stream.push([[-1.0, -1.0, -1.0], [np.nan, -1.0, -1.0]])
    assert stream.n_frames == 0
    stream.flush()
    for call in (stream.flush, lambda: stream.push([-1.0, -1.0, -1.0])):
        with pytest.raises(UsageError, match=r"E-TEMPORAL-030: the stream was flushed, expected reset\(\)"):
            call()


def test_one_frame_alone_and_without_data(fitted):
    stream = fitted.stream()
    assert stream.open is None
    assert stream.push(np.full(3, np.nan), has_data=False).segments.shape == (0, 3)
    assert stream.n_frames == 1
    assert stream.flush().segments[:, 1:].tolist() == [[0, 1]]
    assert isinstance(OpenSegment(0, 0, 1, 0.0, 0.5), OpenSegment)


def test_the_snippets_of_the_page_run():
    names = {}
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        exec(compile(snippet, str(PAGE), "exec"), names)
    np.testing.assert_array_equal(names["seconds"], names["segments"][:, 1:] * 0.5)
    assert names["later"].n_frames == len(names["log_proba"])
