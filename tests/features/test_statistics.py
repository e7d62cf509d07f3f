"""Simple statistics against a plain reference, one series at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data.channels import triads
from conv2d.errors import DataError
from conv2d.features import statistics
from conv2d.features.statistics import LOW_BAND, STATISTICS, statistic_names, window_statistics

CHANNELS = ["acc_x", "acc_y", "acc_z", "temperature"]


def reference(series: np.ndarray) -> dict[str, float]:
    x = series.astype(np.float64)
    t = len(x)
    c = x - x.mean()
    moving = np.abs(c).max() > 1e-5 * max(np.abs(x).max(), 1e-30)
    power = np.abs(np.fft.rfft(c))[1:] ** 2
    frequency = np.fft.rfftfreq(t)[1:]
    out = {
        "mean": x.mean(),
        "std": x.std(),
        "min": x.min(),
        "max": x.max(),
        "q25": np.quantile(x, 0.25),
        "median": np.median(x),
        "q75": np.quantile(x, 0.75),
        "rms": np.sqrt((x**2).mean()),
    }
    if t > 1 and moving:
        above = c > 0
        out["crossing_rate"] = np.mean([above[i] != above[i - 1] for i in range(1, t)])
        out["lag1_autocorrelation"] = (c[1:] * c[:-1]).sum() / (c**2).sum()
        out["dominant_frequency"] = frequency[power.argmax()]
        out["low_band_share"] = power[frequency <= LOW_BAND].sum() / power.sum()
    return {name: out.get(name, 0.0) for name in STATISTICS}


@given(
    n=st.integers(1, 5), c=st.integers(1, 3), s=st.integers(1, 2), t=st.integers(1, 70), seed=st.integers(0, 2**32 - 1)
)
def test_every_statistic_equals_the_plain_reference(n: int, c: int, s: int, t: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, c, s, t)) * rng.uniform(0.1, 10) + rng.uniform(-20, 20)).astype(np.float32)
    F = window_statistics(X).reshape(n, c, s, len(STATISTICS))
    for i in np.ndindex(n, c, s):
        expected = reference(X[i])
        for k, name in enumerate(STATISTICS):
            # Where two bins of the spectrum are level, float32 may prefer the other one.
            if name not in ("dominant_frequency", "crossing_rate"):
                assert F[i][k] == pytest.approx(expected[name], rel=2e-3, abs=2e-3), name
    assert np.isfinite(F).all()


def test_frequency_and_crossings_of_a_sine() -> None:
    t = np.arange(100)
    X = (9.81 + np.sin(2 * np.pi * t * 0.11 + 0.3)).astype(np.float32)[None, None, None]
    row = dict(zip(STATISTICS, window_statistics(X)[0].tolist(), strict=True))
    assert row["dominant_frequency"] == pytest.approx(0.11)
    assert row["crossing_rate"] == pytest.approx(2 * 0.11, abs=0.02)
    assert row["low_band_share"] < 0.01
    assert row["lag1_autocorrelation"] == pytest.approx(np.cos(2 * np.pi * 0.11), abs=0.03)


def test_norms_follow_the_channels_and_are_named() -> None:
    X = np.random.default_rng(0).normal(size=(3, 4, 2, 20)).astype(np.float32)
    names = statistic_names(CHANNELS, ["back", "neck"])
    F = window_statistics(X, CHANNELS)
    assert F.shape == (3, len(names)) == (3, (4 + 1) * 2 * 12)
    norm = np.sqrt((X[:, :3] ** 2).sum(axis=1))
    np.testing.assert_allclose(F[:, names.index("neck/acc_norm/mean")], norm[:, 1].mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(F[:, names.index("back/acc_norm/max")], norm[:, 0].max(axis=1), rtol=1e-6)
    np.testing.assert_allclose(F[:, names.index("neck/temperature/min")], X[:, 3, 1].min(axis=1))
    np.testing.assert_array_equal(window_statistics(X), F[:, : 4 * 2 * 12])


def test_triads_need_all_three_axes() -> None:
    assert triads(["gyr_x", "gyr_y", "acc_z", "acc_x", "acc_y", "_x"]) == [("acc", (3, 4, 2))]
    assert triads([]) == []


def test_a_missing_sensor_is_missing_and_spoils_nothing_else() -> None:
    X = np.random.default_rng(1).normal(size=(2, 4, 2, 30)).astype(np.float32)
    full = window_statistics(X, CHANNELS).reshape(2, 5, 2, 12)
    X[1, 2, 0, 7] = np.nan
    holed = window_statistics(X, CHANNELS).reshape(2, 5, 2, 12)
    hit = np.zeros((2, 5, 2), bool)
    hit[1, 2, 0] = hit[1, 4, 0] = True  # the channel, and the norm that it is part of
    assert np.isnan(holed[hit]).all()
    np.testing.assert_array_equal(holed[~hit], full[~hit])


@pytest.mark.parametrize("value", [0.0, 9.80665, -3e4])
def test_a_constant_series_has_no_dynamics(value: float) -> None:
    F = window_statistics(np.full((1, 1, 1, 50), value, np.float32))
    assert F[0, STATISTICS.index("crossing_rate") :].tolist() == [0, 0, 0, 0]


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(2).normal(size=(23, 3, 1, 16)).astype(np.float32)
    whole = window_statistics(X)
    monkeypatch.setattr(statistics, "_CHUNK_SAMPLES", 3 * 16 * 5)
    np.testing.assert_array_equal(window_statistics(X), whole)


def test_no_window_gives_no_row() -> None:
    assert window_statistics(np.zeros((0, 4, 2, 10)), CHANNELS).shape == (0, 120)


def test_what_cannot_be_used_is_said() -> None:
    with pytest.raises(DataError, match=r"E-FEATURE-001: windows have the shape \(4, 5\)"):
        window_statistics(np.zeros((4, 5)))
    with pytest.raises(DataError, match="E-FEATURE-002: 1 channel names were given for windows with 2 channels"):
        window_statistics(np.zeros((1, 2, 1, 5)), ["acc_x"])
    with pytest.raises(DataError, match="E-FEATURE-003: an infinite sample"):
        window_statistics(np.full((1, 2, 1, 5), np.inf))
