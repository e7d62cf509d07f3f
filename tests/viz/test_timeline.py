"""The picture of a recording shows what the arrays say."""

import numpy as np
import pytest

from conv2d.errors import UsageError
from conv2d.viz.style import class_colours
from conv2d.viz.timeline import timeline_figure

CLASSES = ["sit", "walk", "run"]


def colours(axes) -> list[str]:
    from matplotlib.colors import to_hex

    return [to_hex(colour).upper() for collection in axes.collections for colour in collection.get_facecolors()]


def spans(axes) -> list[tuple[float, float]]:
    paths = [path.vertices for collection in axes.collections for path in collection.get_paths()]
    return [(float(vertices[:, 0].min()), float(vertices[:, 0].max())) for vertices in paths]


def draw(n: int = 500, rate: float = 50.0, **options):
    time = np.arange(n) / rate
    samples = np.random.default_rng(0).normal(size=(3, 2, n)).astype(np.float32)
    end = n / rate
    return timeline_figure(
        time,
        samples,
        sensors=["back", "neck"],
        channels=["acc_x", "acc_y", "acc_z"],
        classes=CLASSES,
        **({"predicted": [(0, 0.6 * end, 0), (0.6 * end, end, 2)]} | options),
    )


def test_signal_rows_are_named_and_hold_the_samples() -> None:
    axes = draw().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "back/acc_x", "back/acc_y", "back/acc_z", "neck/acc_x", "neck/acc_y", "neck/acc_z",
    ]  # fmt: skip
    assert len(axes.lines) == 6
    row = np.random.default_rng(0).normal(size=(3, 2, 500)).astype(np.float32)[1, 0]
    drawn = axes.lines[1].get_ydata() + 1
    inside = np.abs(drawn) < 0.43
    assert np.corrcoef(drawn[inside], row[inside])[0, 1] > 0.999999
    assert np.abs(drawn).max() <= 0.44 + 1e-9, "rows do not run into each other"


def test_ribbons_show_each_segment_in_the_colour_of_its_class() -> None:
    figure = draw(truth=[(1, 4, 1)])
    truth, predicted = figure.axes[1:3]
    assert (truth.get_ylabel(), predicted.get_ylabel()) == ("truth", "predicted")
    palette = class_colours(3)
    assert colours(predicted) == [palette[0], palette[2]]
    assert colours(truth) == [palette[1]]
    np.testing.assert_allclose(spans(predicted), [(0, 6), (6, 10)])
    np.testing.assert_allclose(spans(truth), [(1, 4)])
    assert [text.get_text() for text in predicted.texts] == ["sit", "run"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [*CLASSES, "not annotated"]
    whole = draw(truth=[(0, 10, 1)]).legends[0]
    assert [text.get_text() for text in whole.get_texts()] == CLASSES


def test_narrow_segments_carry_no_text() -> None:
    many = [(i / 10, (i + 1) / 10, i % 3) for i in range(100)]
    assert len(draw(predicted=many).axes[1].texts) == 0


def test_probabilities_are_stacked_and_pauses_stay_empty() -> None:
    proba = np.tile([0.5, 0.3, 0.2], (20, 1))
    time = np.r_[np.arange(10) * 0.2, 5 + np.arange(10) * 0.2]
    axes = draw(proba=proba, proba_time_s=time, proba_name="filtered").axes[-1]
    assert axes.get_ylabel() == "filtered"
    assert len(axes.collections) == 3
    for collection, low, high in zip(axes.collections, (0, 0.5, 0.8), (0.5, 0.8, 1.0), strict=True):
        paths = [path.vertices for path in collection.get_paths()]
        assert len(paths) == 2, "one polygon on each side of the pause"
        assert min(path[:, 1].min() for path in paths) == pytest.approx(low)
        assert max(path[:, 1].max() for path in paths) == pytest.approx(high)
        assert paths[0][:, 0].max() == pytest.approx(1.9)
        assert paths[1][:, 0].min() == pytest.approx(4.9)


def test_an_hour_is_thinned_without_losing_its_peaks() -> None:
    n = 180_000
    samples = np.zeros((1, 1, n), np.float32)
    samples[0, 0, ::1000] = 1.0
    samples[0, 0, 90_000:100_000] = np.nan
    frames = np.arange(0, 3600, 0.2)
    proba = np.where((frames < 1800)[:, None], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0])
    figure = timeline_figure(
        np.arange(n) / 50, samples, sensors=["s"], channels=["c"], classes=CLASSES,
        predicted=[(0, 3600, 0)], proba=proba, proba_time_s=frames,
    )  # fmt: skip
    line = figure.axes[0].lines[0]
    at, value = line.get_xdata(), line.get_ydata()
    assert len(value) == 2400
    for peak in (20.0, 1000.0, 3580.0):
        near = np.abs(at - peak) < 3
        assert np.nanmax(value[near]) > np.nanmin(value[near])
    assert np.isnan(value[(at > 1802) & (at < 1998)]).all()
    sit, _, run = (collection.get_paths()[0].vertices for collection in figure.axes[-1].collections)
    assert len(sit) < 10_000
    assert sit[sit[:, 1] > 0.99, 0].max() == pytest.approx(1800, abs=4)
    assert run[run[:, 1] > 0.5, 0].max() == pytest.approx(3600, abs=0.2)
    figure.canvas.draw()
    assert "0:05:00" in [label.get_text() for label in figure.axes[-1].get_xticklabels()]


def test_many_channels_become_norms() -> None:
    channels = [f"{kind}_{axis}" for kind in ("acc", "gyr", "mag") for axis in "xyz"]
    samples = np.random.default_rng(0).normal(size=(9, 2, 50))
    samples[:, 1] = np.nan
    figure = timeline_figure(
        np.arange(50) / 50, samples, sensors=["a", "b"], channels=channels, classes=CLASSES, predicted=np.zeros((0, 3))
    )
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["a/|acc|", "a/|gyr|", "a/|mag|", "b/|acc|", "b/|gyr|", "b/|mag|"]
    assert [text.get_text() for text in figure.axes[0].texts][3:] == ["missing"] * 3


def test_labels_do_not_overlap_with_twelve_long_names() -> None:
    names = [f"WALKING_UPSTAIRS_WITH_A_NAME_{i}" for i in range(12)]
    figure = timeline_figure(
        np.arange(3000) / 50, np.zeros((6, 2, 3000)), sensors=["left_forearm", "right_forearm"],
        channels=[f"{kind}_{axis}" for kind in ("acc", "gyr") for axis in "xyz"], classes=names,
        predicted=[(5 * i, 5 * i + 5, i) for i in range(12)], truth=[(0, 60, 3)],
        proba=np.full((60, 12), 1 / 12), proba_time_s=np.arange(60) + 0.5,
    )  # fmt: skip
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    assert (figure.canvas.get_width_height()) == (1200, 700)
    rows = [label.get_window_extent(renderer) for label in figure.axes[0].get_yticklabels()]
    entries = [text.get_window_extent(renderer) for text in figure.legends[0].get_texts()]
    axis_label = figure.axes[-1].xaxis.label.get_window_extent(renderer)
    for boxes in (rows, [*entries, axis_label]):
        for i, box in enumerate(boxes):
            assert box.x0 >= 0
            assert box.x1 <= 1200
            assert not any(box.overlaps(other) for other in boxes[:i])


def test_one_sample_one_frame_and_no_segment() -> None:
    figure = timeline_figure(
        [3.0], np.ones((1, 1, 1)), sensors=["s"], channels=["c"], classes=CLASSES, predicted=[], truth=[],
        proba=[[0.2, 0.3, 0.5]], proba_time_s=[3.0],
    )  # fmt: skip
    figure.canvas.draw()
    assert figure.axes[1].collections[0].get_paths() == []


def test_it_is_saved_where_told(tmp_path) -> None:
    draw(path=tmp_path / "timeline.png", title="dog $1")
    assert (tmp_path / "timeline.png").read_bytes().startswith(b"\x89PNG")


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(UsageError, match=r"E-VIZ-001: got samples of shape \(1, 1, 3\)"):
        timeline_figure([0, 1], np.zeros((1, 1, 3)), sensors=["s"], channels=["c"], classes=CLASSES, predicted=[])
    with pytest.raises(UsageError, match="predicted with class indices 0 to 3, expected 0 to 2"):
        draw(predicted=[(0, 1, 3)])
    with pytest.raises(UsageError, match=r"truth of shape \(1, 2\)"):
        draw(truth=[(0, 1)])
    with pytest.raises(UsageError, match="proba without proba_time_s"):
        draw(proba=np.ones((2, 3)))
    with pytest.raises(UsageError, match=r"proba of shape \(2, 2\) at 2 times"):
        draw(proba=np.ones((2, 2)), proba_time_s=[0, 1])
