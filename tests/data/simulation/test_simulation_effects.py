"""Each effect draws from its own generator: switching one off leaves everything else as it was, bit by bit."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.data.behavior_laws import BEHAVIORS, MOTIONS
from conv2d.data.simulate import Simulation, simulate_with_truth
from conv2d.data.simulation.animal import draw_animal, mounting_matrices
from conv2d.data.simulation.parameters import SIZES
from conv2d.data.simulation.randomness import Streams
from conv2d.data.simulation.sensors import DRIFT_S, draw_drift, lost
from conv2d.errors import UsageError

BUSY = Simulation(  # everything that is off by default is on
    missed_share=0.9, swapped_share=0.2, slips_per_h=20, dead_share=0.6, gaps_per_min=2, acc_drift=0.5
)  # fmt: skip


def first(simulation, minutes=4):
    return next(simulate_with_truth(0, minutes=minutes, rate_hz=25, seed=2, simulation=simulation))


def equal(a, b):
    np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def same_bouts(a, b):
    for field in dataclasses.fields(a.bouts):
        equal(getattr(a.bouts, field.name), getattr(b.bouts, field.name))


def same_movement(a, b):
    for field in dataclasses.fields(a.movement):
        equal(getattr(a.movement, field.name), getattr(b.movement, field.name))


def same_drop_outs(a, b):
    for x, y in zip(a.drop_outs, b.drop_outs, strict=True):
        equal(x, y)


def same_annotation(a, b):
    for field in dataclasses.fields(a.annotation):
        equal(getattr(a.annotation, field.name), getattr(b.annotation, field.name))


OFF = {
    "bursts": ({"burst_share": 0.0}, (same_bouts, same_movement, same_annotation)),
    "gaps": ({"gaps_per_min": 0.0}, (same_bouts, same_movement, same_annotation)),
    "dead": ({"dead_share": 0.0}, (same_bouts, same_movement, same_annotation)),
    "drift": ({"acc_drift": 0.0, "gyr_drift": 0.0}, (same_bouts, same_movement, same_annotation, same_drop_outs)),
    "noise": ({"acc_noise": 0.0, "mag_noise": 0.0}, (same_bouts, same_movement, same_annotation, same_drop_outs)),
    "gain": ({"gain_sd": 0.0}, (same_bouts, same_movement, same_annotation, same_drop_outs)),
    "offset": ({"acc_offset": 0.0}, (same_bouts, same_movement, same_annotation, same_drop_outs)),
    "mounting": ({"mounting_sd_deg": 0.0}, (same_bouts, same_annotation, same_drop_outs)),
    "collar": ({"collar_roll_sd_deg": 0.0, "collar_drift_deg": 0.0}, (same_bouts, same_annotation, same_drop_outs)),
    "slips": ({"slips_per_h": 0.0}, (same_bouts, same_annotation, same_drop_outs)),
    "boundaries": ({"boundary_sd_s": 0.0, "observer_sd_s": 0.0}, (same_bouts, same_movement, same_drop_outs)),
    "swaps": ({"swapped_share": 0.0}, (same_bouts, same_movement, same_drop_outs)),
    "missed": ({"missed_share": 0.0}, (same_bouts, same_movement, same_drop_outs)),
    "unlabelled": ({"unlabelled_per_min": 0.0}, (same_bouts, same_movement, same_drop_outs)),
}


@pytest.mark.parametrize("what", OFF)
def test_switching_one_effect_off_leaves_the_others(what):
    changes, same = OFF[what]
    on, off = first(BUSY, minutes=120), first(dataclasses.replace(BUSY, **changes), minutes=120)
    for check in same:
        check(on, off)
    # and what was switched off did something: the recordings differ
    a, b = on.recording, off.recording
    same_samples = np.array_equal(a.samples, b.samples, equal_nan=True)
    assert not (same_samples and np.array_equal(a.labels, b.labels))


def test_samples_change_only_where_and_by_what_was_switched_off():
    on, quiet, steady = first(BUSY), first(BUSY.levels(drop_outs=0)), first(dataclasses.replace(BUSY, acc_drift=0.0))
    there = ~np.isnan(on.recording.samples)
    assert not np.isnan(quiet.recording.samples).any()
    equal(on.recording.samples[there], quiet.recording.samples[there])
    t = on.recording.time_s
    drift = np.array([[np.interp(t, DRIFT_S * np.arange(x.shape[-1]), x) for x in sensor] for sensor in on.drift[:3]])
    change = on.recording.samples[:3] - steady.recording.samples[:3]
    np.testing.assert_allclose(change[there[:3]], drift[there[:3]], atol=1e-5)
    equal(on.recording.samples[3:][there[3:]], steady.recording.samples[3:][there[3:]])


def test_labels_change_only_where_the_observer_errs():
    sure, spotless = first(BUSY.levels(label_noise=0)), first(dataclasses.replace(BUSY, unlabelled_per_min=0))
    on = first(BUSY)
    seen = sure.recording.labels >= 0
    equal(sure.recording.labels[seen], sure.truth[seen])
    equal(seen, on.recording.labels >= 0)
    equal(spotless.recording.labels[seen], on.recording.labels[seen])
    assert (spotless.recording.labels >= 0).all()
    without = first(dataclasses.replace(BUSY, swapped_share=0.0, missed_share=0.0))
    differs = np.flatnonzero(without.recording.labels != on.recording.labels)
    erring = set(np.flatnonzero(on.annotation.given != on.bouts.behaviors).tolist())
    assert erring
    # an annotated bout reaches a little into its neighbours
    nearby = {b + d for b in erring for d in (-1, 0, 1)}
    assert len(differs)
    assert set(on.bout[differs].tolist()) <= nearby


def test_the_table_changes_nothing_before_it_begins():
    plain, tabled = first(BUSY), first(dataclasses.replace(BUSY, table_s=30.0))
    before = plain.recording.time_s < 120 - 30 - 0.5
    np.testing.assert_array_equal(plain.recording.samples[:, :, before], tabled.recording.samples[:, :, before])
    equal(plain.recording.labels[before], tabled.recording.labels[before])
    assert (tabled.recording.labels[tabled.recording.time_s >= 90] == -1).all()


def test_a_longer_recording_has_the_same_animal():
    for minutes in (1, 8):
        a = next(simulate_with_truth(3, minutes=minutes, rate_hz=25, seed=1)).animal
        b = draw_animal(Simulation(), Streams(1, 3))
        for field in dataclasses.fields(a):
            equal(getattr(a, field.name), getattr(b, field.name))


shares = st.floats(0, 0.9)


@settings(max_examples=25)
@given(
    rate=st.floats(25, 130),
    minutes=st.floats(0.5, 2),
    seed=st.integers(0, 2**70),
    number=st.integers(0, 200),
    simulation=st.builds(
        Simulation,
        sizes=st.sampled_from(list(SIZES)),
        burst_share=shares, gaps_per_min=st.floats(0, 20), dead_share=shares, swapped_share=shares,
        missed_share=shares, boundary_sd_s=st.floats(0, 5), boundary_bias_s=st.floats(-5, 5),
        unlabelled_per_min=st.floats(0, 20), slips_per_h=st.floats(0, 100), table_s=st.sampled_from([0.0, 1.0, 7.0]),
        vigour_sd=st.floats(0, 1), mounting_sd_deg=st.floats(0, 60),
    ),
    scripted=st.booleans(),
)  # fmt: skip
def test_whatever_the_parameters_a_recording_is_whole_and_agrees_with_its_truth(
    rate, minutes, seed, number, simulation, scripted
):
    for known in simulate_with_truth(
        number, minutes=minutes, rate_hz=rate, seed=seed, simulation=simulation, scripted=scripted
    ):
        recording, moved = known.recording, known.movement
        n = recording.n_samples
        assert n == round(minutes * 30 * rate)
        assert recording.samples.shape == (9, 2, n)
        for s in range(2):
            gone = lost(known.drop_outs[s], recording.time_s)
            equal(np.isnan(recording.samples[:, s]), np.broadcast_to(gone, (9, n)))
        assert np.isfinite(moved.signals).all()
        assert np.diff(known.bouts.ends_s).min(initial=1) > 0
        equal(np.bincount(known.bout, minlength=len(known.bouts.ends_s)) > 0, True)
        gait = np.array([MOTIONS[b].step_hz > 0 for b in BEHAVIORS])[known.truth]
        equal(np.isfinite(moved.stride_phase), np.broadcast_to(gait, (2, n)))
        phase = moved.stride_phase[:, gait]
        assert ((phase >= 0) & (phase <= np.float32(2 * np.pi))).all()
        assert recording.labels.min() >= -1
        assert recording.labels.max() < len(BEHAVIORS)
        if simulation.boundary_sd_s == simulation.swapped_share == 0:
            assert set(recording.labels) <= {-1, *known.truth}


@given(st.integers(0, 500), st.booleans())
def test_instants_without_samples_by_brute_force(seed, touching):
    rng = np.random.default_rng(seed)
    t = np.arange(200) / 10
    spans = rng.uniform(-1, 21, (rng.integers(0, 9), 2))
    spans.sort(axis=1)
    spans = spans[np.argsort(spans[:, 0])]
    if touching:
        spans = spans.round(1)
    slow = [any(a <= at < b for a, b in spans) for at in t]
    equal(lost(spans, t), np.array(slow, bool))


def test_offsets_drift_as_a_random_walk():
    drawn = np.stack([draw_drift(600, Simulation(), Streams(0, subject)) for subject in range(150)])
    minute = int(60 / DRIFT_S)
    assert (drawn[..., 0] == 0).all()
    for first_channel, per_root_min in ((0, 0.01), (3, 0.002), (6, 0.2)):
        part = drawn[:, first_channel : first_channel + 3]
        for minutes in (1, 4, 9):
            assert part[..., minute * minutes].std() == pytest.approx(per_root_min * np.sqrt(minutes), rel=0.1)
        later = part[..., 2 * minute] - part[..., minute]
        assert abs(np.corrcoef(later.ravel(), part[..., minute].ravel())[0, 1]) < 0.12


def test_animals_differ_as_the_parameters_say():
    animals = [draw_animal(Simulation(sizes="mixed"), Streams(5, i)) for i in range(1500)]
    mass = np.log([a.mass_kg for a in animals])
    assert np.exp(mass.mean()) == pytest.approx(22, rel=0.05)
    assert mass.std() == pytest.approx(0.5, rel=0.06)
    # Stride frequency falls with the mass to the power of -0.15, shaking with -0.22.
    assert np.polyfit(mass, np.log([a.stride for a in animals]), 1)[0] == pytest.approx(-0.15, abs=0.02)
    assert np.polyfit(mass, np.log([a.shake_hz for a in animals]), 1)[0] == pytest.approx(-0.22, abs=1e-6)
    roll = np.array([a.roll_deg for a in animals])
    assert roll[:, 0].std() == pytest.approx(20, rel=0.15)
    assert np.abs(roll[:, 0]).max() <= 40
    assert roll[:, 1].std() == pytest.approx(5, rel=0.1)
    assert np.mean([a.drop_outs for a in animals]) == pytest.approx(1, rel=0.05)
    for matrix in mounting_matrices(animals[0]):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_a_collar_turns_slowly_and_slips_when_asked():
    calm = [next(simulate_with_truth(i, minutes=40, rate_hz=25, seed=0)).movement.turned_deg for i in range(8)]
    spread = np.array([t[0].std() for t in calm])
    assert 1 < np.median(spread) < 8
    assert max(np.abs(np.diff(t[0])).max() for t in calm) < 0.1
    assert all(np.ptp(t[1]) == 0 for t in calm)
    still = first(Simulation(collar_drift_deg=0.0))
    assert np.ptp(still.movement.turned_deg[0]) == 0
    assert still.movement.turned_deg[0, 0] == pytest.approx(still.animal.roll_deg[0], rel=1e-6)
    slipping = next(simulate_with_truth(1, minutes=40, rate_hz=25, simulation=Simulation(slips_per_h=12)))
    assert np.ptp(slipping.movement.turned_deg[0]) > 30


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sizes": "ponies"}, "sizes is 'ponies', expected one_breed or mixed"),
        ({"acc_noise": -1.0}, r"acc_noise is -1\.0, expected 0 or more"),
        ({"acc_noise": float("nan")}, "acc_noise is nan, expected 0 or more"),
        ({"acc_noise": "loud"}, "acc_noise is 'loud', expected a number"),
        ({"swapped_share": 1.5}, r"swapped_share is 1\.5, expected a share from 0 to 0\.9"),
        ({"gap_s": (3.0, 1.0)}, r"gap_s is \(3\.0, 1\.0\), expected the least and the most"),
        ({"burst_s": 0.0}, "burst_s is 0, expected more where burst_share is"),
        ({"collar_drift_min": 0.0}, "collar_drift_min is 0, expected more"),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_named(wrong, said):
    with pytest.raises(UsageError, match=f"^E-SIM-001: {said}; "):
        Simulation(**wrong)


def test_levels_and_tables_out_of_range_are_named():
    with pytest.raises(UsageError, match=r"^E-SIM-001: drift is -2, expected 0 or more"):
        Simulation().levels(drift=-2)
    with pytest.raises(UsageError, match=r"^E-SIM-001: table_s is 40, expected half of a recording at most, which has"):
        next(simulate_with_truth(0, minutes=1, rate_hz=25, simulation=Simulation(table_s=40)))
    assert Simulation().levels() == Simulation()
    assert Simulation(boundary_bias_s=-0.3).levels(label_noise=2).boundary_bias_s == -0.6
