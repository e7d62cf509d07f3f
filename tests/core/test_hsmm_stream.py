"""Streams against the offline decoder, against every continuation, and against their own bound."""

import copy
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conv2d_core import (
    HsmmStream,
    hsmm_filter,
    hsmm_forward_backward,
    hsmm_viterbi,
    simd_path,
    simd_paths,
    use_simd_path,
)

NEVER = -np.inf
CENSORING = ["none", "right", "left", "both"]
OPEN_ENDED = {"none": "right", "left": "both", "right": "right", "both": "both"}


@dataclass
class World:
    """A model, the scores of a recording, and what else a stream takes."""

    emissions: np.ndarray
    transitions: np.ndarray
    initial: np.ndarray
    durations: np.ndarray
    censoring: str
    log_final: np.ndarray | None
    rng: np.random.Generator

    @property
    def model(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
        return self.transitions, self.initial, self.durations, self.censoring

    def stream(self, **options: object) -> HsmmStream:
        return HsmmStream(*self.model, log_final=self.log_final, **options)  # type: ignore[arg-type]

    @property
    def ended(self) -> np.ndarray:
        """Scores as the offline decoder takes them where the recording ends."""
        scores = self.emissions.copy()
        if self.log_final is not None and len(scores):
            scores[-1] += self.log_final
        return scores

    def offline(self, join: bool = False) -> tuple[list[list[int]], float] | None:
        try:
            _, score, segments = hsmm_viterbi(self.ended, *self.model)
        except ValueError:
            return None
        given = joined(segments.tolist()) if join else segments.tolist()
        return given, score

    def chunks(self, largest: int) -> Iterator[np.ndarray]:
        t = 0
        while t < len(self.emissions):
            n = int(self.rng.integers(1, largest + 1))
            yield self.emissions[t : t + n]
            t += n


def joined(segments: list[list[int]]) -> list[list[int]]:
    runs: list[list[int]] = []
    for state, start, end in segments:
        if runs and runs[-1][0] == state:
            runs[-1][2] = end
        else:
            runs.append([state, start, end])
    return runs


@st.composite
def worlds(draw: st.DrawFn, *, frames: int = 80, possible: bool = False) -> World:
    """Whole numbers tie all the time; few -inf, unless everything must stay possible."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    states, longest = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    n_frames, whole = draw(st.integers(1, frames)), draw(st.booleans())
    never = 0.0 if possible else draw(st.sampled_from([0.0, 0.1, 0.3]))
    scale = draw(st.sampled_from([0.0, 0.2, 1.0, 5.0]))

    def array(*shape: int, scale: float = 1.0) -> np.ndarray:
        values = rng.integers(-3, 1, shape).astype(np.float64) if whole else scale * rng.uniform(-4, 2, shape)
        return np.where(rng.random(shape) < never, NEVER, values)

    world = World(
        array(n_frames, states, scale=scale), array(states, states), array(states), array(states, longest),
        draw(st.sampled_from(CENSORING)), None, rng,
    )  # fmt: skip
    if draw(st.booleans()):
        world.log_final = rng.integers(-2, 1, states).astype(float) if whole else rng.uniform(-2, 0, states)
    if states > 1 and not possible and draw(st.booleans()):
        np.fill_diagonal(world.transitions, NEVER)
    return world


def run(stream: HsmmStream, chunks: Iterator[np.ndarray]) -> tuple[list[list[int]], float] | None:
    segments = []
    try:
        for rows in chunks:
            segments += stream.push(rows).tolist()
        rest, score = stream.flush()
    except ValueError:
        return None
    return segments + rest.tolist(), score


@settings(max_examples=300, deadline=None)
@given(worlds(), st.sampled_from([1, 4, 50]), st.integers(1, 6), st.booleans())
def test_a_stream_gives_the_offline_timeline_bit_for_bit(
    world: World, largest: int, check_frames: int, join: bool
) -> None:
    stream = world.stream(check_frames=check_frames, join=join)
    assert run(stream, world.chunks(largest)) == world.offline(join)


@settings(max_examples=20, deadline=None)
@given(worlds(frames=3000, possible=True), st.booleans())
def test_long_recordings_with_folds_and_rebases(world: World, join: bool) -> None:
    world.emissions[::7] *= 1e5  # sums leave the range in which they are kept
    world.emissions = np.tile(world.emissions, (1 + 6000 // len(world.emissions), 1))
    assert run(world.stream(join=join), world.chunks(700)) == world.offline(join)


@settings(max_examples=40, deadline=None)
@given(worlds(possible=True), st.integers(1, 30), st.booleans())
def test_what_is_decided_holds_in_every_continuation(world: World, cut: int, join: bool) -> None:
    """Random continuations cannot change a segment that was given, nor the state of a decided frame."""
    cut = min(cut, len(world.emissions))
    stream = world.stream(join=join)
    given_out = np.concatenate([np.empty((0, 3), int), *(stream.push(row[None]) for row in world.emissions[:cut])])
    under_way, states = stream.open, world.emissions.shape[1]
    assert stream.decided <= cut
    for _ in range(30):
        tail = world.rng.uniform(-6, 0, (world.rng.integers(1, 15), states)) * world.rng.choice([0.1, 1, 10])
        if world.rng.random() < 0.5:
            tail[:, world.rng.integers(states)] += 40  # one state wins clearly
        world_after = World(np.concatenate([world.emissions[:cut], tail]), *world.model, world.log_final, world.rng)
        labels, _, segments = hsmm_viterbi(world_after.ended, *world.model)
        parts = joined(segments.tolist()) if join else segments.tolist()
        assert parts[: len(given_out)] == given_out.tolist()
        if under_way is not None:
            state, start, until = under_way
            assert (labels[start:until] == state).all()
            assert start in [part[1] for part in parts]


def test_certainty_comes_early() -> None:
    """With clear data a segment is final long before the longest duration has gone by; all live starts would wait."""
    longest, states = 300, 3
    rng = np.random.default_rng(3)
    durations = np.log(np.array([np.exp(-0.5 * ((np.arange(1, longest + 1) - 30) / 8) ** 2)] * states) + 1e-30)
    transitions = np.where(np.eye(states, dtype=bool), NEVER, np.log(0.5))
    labels = np.repeat(np.arange(20) % states, 30)
    emissions = np.where(np.eye(states)[labels] > 0, 0.0, -3.0) + rng.normal(0, 0.3, (600, states))
    stream, waits = HsmmStream(transitions, np.zeros(states), durations, "both"), []
    for frame in emissions:
        for _, _, end in stream.push(frame[None]).tolist():
            waits.append(stream.frames - end)
    assert len(waits) >= 15
    assert np.median(waits) < 60


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 7))
def test_posteriors_equal_forward_backward_on_prefixes(world: World, lag: int) -> None:
    if world.offline() is None:
        return
    stream = world.stream(filtered=True, smoothing_lag_frames=lag)
    filtered, smoothed = [], []
    for rows in world.chunks(5):
        stream.push(rows)
        assert stream.filtered is not None
        assert stream.smoothed is not None
        filtered.append(stream.filtered)
        smoothed.append(stream.smoothed)
        assert sum(map(len, smoothed)) == max(stream.frames - lag, 0)
    stream.flush()
    assert stream.smoothed is not None
    smoothed.append(stream.smoothed)
    frames = len(world.emissions)
    np.testing.assert_allclose(np.concatenate(filtered), hsmm_filter(world.emissions, *world.model)[1], atol=1e-9)
    got = np.concatenate(smoothed)
    whole = hsmm_forward_backward(world.ended, *world.model)[1]
    np.testing.assert_allclose(got[max(frames - lag, 0) :], whole[max(frames - lag, 0) :], atol=1e-9)
    open_ended = (*world.model[:3], OPEN_ENDED[world.censoring])
    for t in range(frames - lag):
        expected = hsmm_forward_backward(world.emissions[: t + lag + 1], *open_ended)[1][t]
        np.testing.assert_allclose(got[t], expected, atol=1e-9)


def test_posteriors_keep_their_digits_over_many_frames() -> None:
    rng = np.random.default_rng(1)
    emissions = rng.uniform(-40, 0, (9000, 3))
    model = (np.log(rng.dirichlet(np.ones(3), 3)), np.log(np.ones(3) / 3), np.log(rng.dirichlet(np.ones(9), 3)), "both")
    stream = HsmmStream(*model, filtered=True, smoothing_lag_frames=4)  # type: ignore[arg-type]
    stream.push(emissions)
    assert stream.filtered is not None
    assert stream.smoothed is not None
    np.testing.assert_allclose(stream.filtered, hsmm_filter(emissions, *model)[1], atol=1e-8)  # type: ignore[arg-type]
    expected = hsmm_forward_backward(emissions, *model)[1][-5]  # type: ignore[arg-type]
    np.testing.assert_allclose(stream.smoothed[-1], expected, atol=1e-8)


# The bound


def bounded(world: World, lag: int, largest: int, **options: object) -> tuple[object, ...] | None:
    """Everything a bounded stream says, checked on the way: what is decided stays, and nothing waits too long."""
    stream = world.stream(lag_frames=lag, **options)
    segments: list[list[int]] = []
    claims: dict[int, int] = {}
    for rows in world.chunks(largest):
        segments += stream.push(rows).tolist()
        assert stream.frames - stream.decided <= lag
        assert len(stream.tentative())
        assert stream.tentative()[-1, 2] == stream.frames
        if stream.open is not None:
            state, start, until = stream.open
            assert start == (segments[-1][2] if segments else 0)
            assert until == stream.decided >= start
            claims |= dict.fromkeys(range(start, until), state)
        if world.rng.random() < 0.1:
            saved, stream = stream.save(), world.stream(lag_frames=lag, **options)
            stream.restore(saved)
    forced = stream.forced_commits, stream.forced_frames
    try:
        rest, score = stream.flush()
    except ValueError:
        return None
    segments += rest.tolist()
    table = np.array(segments)
    assert table[0, 1] == 0
    assert table[-1, 2] == len(world.emissions)
    np.testing.assert_array_equal(table[1:, 1], table[:-1, 2])
    labels = np.repeat(table[:, 0], table[:, 2] - table[:, 1])
    assert all(labels[frame] == state for frame, state in claims.items())
    return segments, score, forced


@settings(max_examples=150, deadline=None)
@given(worlds(frames=150, possible=True), st.integers(1, 40), st.booleans())
def test_the_bound_holds_whatever_comes_together(world: World, lag: int, join: bool) -> None:
    at_once = bounded(world, lag, len(world.emissions), join=join)
    assert bounded(world, lag, 1, join=join) == bounded(world, lag, 17, check_frames=5, join=join) == at_once
    offline = world.offline(join)
    if at_once is None or offline is None:
        return
    segments, score, forced = at_once
    assert isinstance(score, float)
    assert score <= offline[1] + 1e-9
    if forced == (0, 0):
        assert (segments, score) == offline


def random_world(seed: int, frames: int, states: int, longest: int, censoring: str) -> World:
    rng = np.random.default_rng(seed)
    shapes = (frames, states), (states, states), (states,), (states, longest)
    emissions, transitions, initial, durations = (rng.uniform(-4, 2, shape) for shape in shapes)
    return World(emissions, transitions, initial, durations, censoring, None, rng)


# Segments that are the best so far, though at none of their later ends.
@example(random_world(57, 50, 4, 3, "none"), 0, False)
@example(random_world(25, 39, 2, 3, "right"), 1, True)
@settings(max_examples=100, deadline=None)
@given(worlds(frames=60, possible=True), st.integers(0, 10), st.booleans())
def test_forced_decisions_are_those_of_decoding_under_what_was_decided(world: World, lag: int, join: bool) -> None:
    """The definition, slowly: fix states frame by frame by the best open-ended timeline, then decode what is left."""
    world.log_final = None
    step = max((lag + 1) // 8, 1)
    masked = world.emissions.copy()
    stream = world.stream(lag_frames=lag, join=join)
    open_ended = (*world.model[:3], OPEN_ENDED[world.censoring])
    frames, fixed = len(masked), 0
    for now in range(1, frames + 1):
        stream.push(world.emissions[now - 1 : now])
        place = now - (lag - step + 1)
        if place <= fixed or now % step:
            continue
        labels, score, _ = hsmm_viterbi(masked[:now], *open_ended)
        # Another timeline that is as good may be taken; only a clear case says which.
        flips = []
        for t in range(fixed, place):
            without = masked[:now].copy()
            without[t, labels[t]] = NEVER
            if np.isfinite(without[t]).any():
                flips.append(hsmm_viterbi(without, *open_ended)[1])
        if any(score - other < 1e-6 for other in flips):
            return
        for t in range(fixed, place):
            masked[t, np.arange(masked.shape[1]) != labels[t]] = NEVER
        fixed = place
    try:
        _, expected, _ = hsmm_viterbi(masked, *world.model)
        got = stream.flush()[1]
    except ValueError:
        return
    assert got == pytest.approx(expected, abs=1e-9)


@example(random_world(11, 40, 4, 3, "none"), 1, False)
@example(random_world(20, 40, 2, 3, "right"), 1, True)
@settings(max_examples=60, deadline=None)
@given(worlds(frames=40, possible=True), st.integers(1, 5), st.booleans())
def test_what_was_given_and_the_guess_are_the_best_timeline_so_far(world: World, largest: int, join: bool) -> None:
    """As if the recording went on; a timeline that is as good may stand for it."""
    world.log_final = None
    stream = world.stream(join=join, check_frames=3)
    open_ended = (*world.model[:3], OPEN_ENDED[world.censoring])
    given_out: list[list[int]] = []
    for rows in world.chunks(largest):
        given_out += stream.push(rows).tolist()
        saved, stream = stream.save(), world.stream(join=join, check_frames=3)
        stream.restore(saved)
        table = np.array(given_out + stream.tentative().tolist())
        frames = stream.frames
        labels = np.repeat(table[:, 0], table[:, 2] - table[:, 1])
        kept = np.where(np.arange(world.emissions.shape[1]) == labels[:, None], world.emissions[:frames], NEVER)
        score = hsmm_viterbi(kept, *open_ended)[1]
        assert score == pytest.approx(hsmm_viterbi(world.emissions[:frames], *open_ended)[1], abs=1e-9)


def test_a_bound_of_no_frames_decides_each_frame_at_once() -> None:
    rng = np.random.default_rng(5)
    emissions = rng.normal(size=(200, 3))
    stream = HsmmStream(np.zeros((3, 3)), np.zeros(3), np.zeros((3, 5)), "both", lag_frames=0)
    for row in emissions:
        stream.push(row[None])
        assert stream.decided == stream.frames
    assert stream.forced_frames > 0


def test_memory_does_not_grow_with_the_frames() -> None:
    """The saved state holds everything; ten times the frames leave it as it was."""
    rng = np.random.default_rng(2)
    states = 4
    transitions = np.where(np.eye(states, dtype=bool), NEVER, 0.0)
    durations = -0.5 * ((np.arange(1, 51) - 20.0) / 5) ** 2 * np.ones((states, 1))
    stream = HsmmStream(transitions, np.zeros(states), durations, "both", smoothing_lag_frames=3)
    sizes = []
    for _ in range(20):
        labels = np.repeat(rng.integers(0, states, 200), rng.integers(10, 30, 200))[:2000]
        stream.push(np.eye(states)[labels] * 2 + rng.normal(0, 0.5, (len(labels), states)))
        sizes.append(len(stream.save()))
    assert max(sizes[10:]) < 2 * max(sizes[:10])


@pytest.mark.parametrize("lag", [None, 40])
def test_a_stay_of_many_segments_costs_no_memory_when_joined(lag: int | None) -> None:
    """Where its segments meet depends on when it ends; that it lasts does not."""
    durations = -0.5 * ((np.arange(1, 41) - 20.0) / 3) ** 2 * np.ones((2, 1))
    stream = HsmmStream(np.log([[0.5, 0.5], [0.5, 0.5]]), np.zeros(2), durations, "both", lag_frames=lag, join=True)
    stay = np.tile([[0.0, -2.0]], (2000, 1))
    stream.push(stay[:100])
    sizes, waits = [], []
    for _ in range(15):
        stream.push(stay)
        sizes.append(len(stream.save()))
        waits.append(stream.frames - stream.decided)
    assert max(sizes) < 1.1 * min(sizes)
    assert max(waits) < 60
    assert stream.push(-2.0 - stay).tolist() == [[0, 0, 30100]]


# State


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 79), st.sampled_from([None, 9]), st.booleans())
def test_a_stream_goes_on_where_it_was_saved(world: World, cut: int, lag: int | None, join: bool) -> None:
    options: dict[str, object] = {"lag_frames": lag, "filtered": True, "smoothing_lag_frames": 3, "join": join}
    paths = simd_paths()
    before = simd_path()
    try:
        use_simd_path(paths[0])
        first = world.stream(**options)
        try:
            first.push(world.emissions[:cut])
        except ValueError:
            return
        copies = [copy.deepcopy(first), pickle.loads(pickle.dumps(first)), world.stream(**options)]
        copies[2].restore(first.save())
        assert all(stream.save() == first.save() for stream in copies)
        outcomes = []
        for number, stream in enumerate([first, *copies]):
            use_simd_path(paths[number % len(paths)])
            try:
                segments = stream.push(world.emissions[cut:])
                rest, score = stream.flush()
            except ValueError as refused:
                outcomes.append(str(refused))
                continue
            assert stream.smoothed is not None
            outcomes.append(repr((segments.tolist(), rest.tolist(), score, stream.smoothed.tolist())))
        assert len(set(outcomes)) == 1
    finally:
        use_simd_path(before)


def two_states(**options: object) -> HsmmStream:
    return HsmmStream([[NEVER, 0], [0, NEVER]], [0, 0], np.log([[0.2, 0.8]] * 2), "right", **options)  # type: ignore[arg-type]


def test_saved_states_are_refused_when_they_do_not_fit() -> None:
    stream = two_states(lag_frames=5)
    stream.push([[0.0, -1.0]] * 7)
    saved = stream.save()
    for place in range(0, len(saved), 7):
        damaged = bytearray(saved)
        damaged[place] ^= 0x40
        with pytest.raises(ValueError, match="saved state"):
            stream.restore(bytes(damaged))
    for length in (0, 5, 8, 30, len(saved) - 1):
        with pytest.raises(ValueError, match="saved state"):
            stream.restore(saved[:length])
    with pytest.raises(ValueError, match="another model or other options"):
        two_states().restore(saved)
    other = HsmmStream([[NEVER, 0], [0, NEVER]], [0, 0.5], np.log([[0.2, 0.8]] * 2), "right", lag_frames=5)
    with pytest.raises(ValueError, match="another model"):
        other.restore(saved)
    assert stream.save() == saved  # nothing of all that changed it


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([[0.0, np.nan]], "log_emissions row 0, column 1 is nan"),
        ([[0.0, 0.0], [np.inf, 0.0]], "log_emissions row 1, column 0 is inf"),
        ([[0.0, 0.0], [0.0, 1e300]], "log_emissions row 1, column 1 is 1e"),
        ([[0.0, 0.0], [NEVER, NEVER]], "log_emissions row 1 is -inf in every column"),
        ([[0.0, 0.0, 0.0]], r"log_emissions has shape \(1, 3\), expected \(n, 2\)"),
        ([0.0, 0.0], r"log_emissions has shape \(2,\), expected \(n, K\)"),
    ],
)
@pytest.mark.parametrize("lag", [None, 2])
def test_bad_frames_are_refused_and_change_nothing(rows: list[object], text: str, lag: int | None) -> None:
    stream = two_states(lag_frames=lag, filtered=True)
    stream.push([[0.0, -1.0]] * 3)
    before = stream.save()
    with pytest.raises(ValueError, match=text):
        stream.push(rows)  # type: ignore[arg-type]
    assert stream.save() == before


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"log_transitions": np.zeros((4, 2))}, r"log_transitions has shape \(4, 2\), expected \(2, 2\)"),
        ({"log_transitions": np.full((2, 2), np.nan)}, "log_transitions row 0, column 0 is nan"),
        ({"log_initial": [0.0, np.inf]}, "log_initial row 1 is inf"),
        ({"log_durations": np.zeros((2, 0))}, "log_durations has shape"),
        ({"lag_frames": -1}, "lag_frames is -1, expected at least 0"),
        ({"lag_frames": 0, "log_final": [0.0, 0.0]}, "lag_frames is 0, expected at least 1"),
        ({"smoothing_lag_frames": -2}, "smoothing_lag_frames is -2"),
        ({"check_frames": 0}, "check_frames is 0, expected at least 1"),
        ({"log_final": [0.0]}, r"log_final has shape \(1,\), expected \(2,\)"),
        ({"log_final": [0.0, np.nan]}, "log_final row 1 is nan"),
        ({"censoring": "up"}, "censoring is 'up'"),
    ],
)
def test_bad_models_and_options_are_refused(change: dict[str, object], text: str) -> None:
    arguments: dict[str, object] = {
        "log_transitions": np.zeros((2, 2)), "log_initial": np.zeros(2), "log_durations": np.zeros((2, 3)),
    }  # fmt: skip
    with pytest.raises(ValueError, match=text):
        HsmmStream(**(arguments | change))  # type: ignore[arg-type]


def test_the_order_of_calls_is_kept() -> None:
    stream = two_states()
    assert stream.open is None
    assert len(stream.tentative()) == 0
    assert stream.push(np.empty((0, 2))).shape == (0, 3)
    segments, score = stream.flush()
    assert segments.shape == (0, 3)
    assert score == 0.0
    assert stream.flushed
    for call in (stream.flush, lambda: stream.push([[0.0, 0.0]])):
        with pytest.raises(ValueError, match=r"flushed, expected reset\(\)"):
            call()
    stream.reset()
    stream.push([[0.0, -3.0], [0.0, -3.0]])
    assert stream.flush()[0].tolist() == [[0, 0, 2]]


def test_a_recording_that_cannot_end_here_may_go_on() -> None:
    stream = HsmmStream([[0.0]], [0.0], [[NEVER, NEVER, 0.0]])
    assert stream.push([[0.0]] * 4).tolist() == [[0, 0, 3]]
    for _ in range(2):
        with pytest.raises(ValueError, match="no sequence of whole segments ends at frame 4"):
            stream.flush()
    stream.push([[0.0]] * 2)
    assert stream.flush()[0].tolist() == [[0, 3, 6]]


@pytest.mark.parametrize("filtered", [False, True])
def test_where_everything_becomes_impossible_the_stream_stops(filtered: bool) -> None:
    stream = HsmmStream([[NEVER, NEVER], [NEVER, NEVER]], [0.0, 0.0], [[0.0, 0.0]] * 2, "right", filtered=filtered)
    stream.push([[0.0, 0.0]] * 2)
    with pytest.raises(ValueError, match="by frame 2 every state is impossible"):
        stream.push([[0.0, 0.0]])
    for call in (stream.flush, lambda: stream.push([[0.0, 0.0]])):
        with pytest.raises(ValueError, match=r"no timeline is possible, expected reset\(\)"):
            call()
    assert len(stream.tentative()) == 0
    stream.reset()
    stream.push([[0.0, 0.0]] * 2)
    assert stream.flush()[0].tolist() == [[0, 0, 2]]


def test_two_threads_in_one_stream_are_refused_not_mixed() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20000, 8))
    stream = HsmmStream(np.zeros((8, 8)), np.zeros(8), np.zeros((8, 200)), "both")
    taken, refused = [], []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        for _ in range(5):
            try:
                stream.push(rows)
                taken.append(1)
            except RuntimeError as problem:
                refused.append(str(problem))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) + len(refused) == 20
    assert taken
    assert all("busy in another thread" in text for text in refused)
    assert stream.frames == len(taken) * len(rows)


@example(states=12, longest=150)
@example(states=3, longest=400)
@settings(max_examples=5, deadline=None)
@given(states=st.integers(1, 10), longest=st.integers(1, 90))
def test_every_simd_path_gives_the_same(states: int, longest: int) -> None:
    rng = np.random.default_rng(states * 1000 + longest)
    emissions = rng.normal(size=(3000, states))
    model = rng.normal(size=(states, states)), rng.normal(size=states), rng.normal(size=(states, longest)), "both"
    before, outcomes = simd_path(), []
    try:
        for path in simd_paths():
            use_simd_path(path)
            stream = HsmmStream(*model, lag_frames=100)  # type: ignore[arg-type]
            first = stream.push(emissions[:1700]).tolist()
            saved = stream.save()
            outcomes.append((first, stream.push(emissions[1700:]).tolist(), stream.flush()[1], saved))
    finally:
        use_simd_path(before)
    assert all(outcome == outcomes[0] for outcome in outcomes)
