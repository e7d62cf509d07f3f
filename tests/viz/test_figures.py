"""What the other figures show, read back from their artists."""

import numpy as np
import pytest

from conv2d.errors import UsageError
from conv2d.viz.classification import confusion_figure, reliability_figure
from conv2d.viz.codes import code_usage_figure
from conv2d.viz.comparison import decoder_figure, per_subject_figure
from conv2d.viz.durations import duration_figure
from conv2d.viz.history import history_figure


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def overlaps(figure, labels) -> bool:
    figure.canvas.draw()
    boxes = [label.get_window_extent(figure.canvas.get_renderer()) for label in labels if label.get_text()]
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_confusion_writes_shares_counts_and_totals() -> None:
    figure = confusion_figure([[999, 1, 0], [3, 1, 0], [0, 0, 0]], ["sit", "wa$lk", "run"])
    axes = figure.axes[0]
    assert texts(axes) == [">99 %\n999", "<1 %\n1", "0", "75 %\n3", "25 %\n1", "0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sit (1000)", r"wa\$lk (4)", "run (0)"]
    shown = axes.images[0].get_array()
    np.testing.assert_allclose(shown[:2], [[0.999, 0.001, 0], [0.75, 0.25, 0]])
    assert np.ma.getmaskarray(shown)[2].all()


def test_confusion_of_twelve_long_names_stays_legible() -> None:
    names = [f"BEHAVIOUR_WITH_LONG_NAME_{i}" for i in range(12)]
    figure = confusion_figure(np.random.default_rng(0).integers(0, 1500, (12, 12)), names)
    assert not overlaps(figure, figure.axes[0].texts)
    assert not overlaps(figure, figure.axes[0].get_yticklabels())


def test_confusion_of_another_shape_is_refused() -> None:
    with pytest.raises(UsageError, match=r"counts of shape \(2, 2\), expected \(3, 3\)"):
        confusion_figure(np.eye(2), ["a", "b", "c"])
    with pytest.raises(UsageError, match="none negative"):
        confusion_figure(-np.eye(2), ["a", "b"])


def test_reliability_shows_filled_bins_intervals_and_counts() -> None:
    figure = reliability_figure([0, 4, 0, 100], [0, 0.3, 0, 0.9], [0, 0.5, 0, 0.8], ece=0.1077, title="t")
    upper, lower = figure.axes
    (points,) = upper.containers
    np.testing.assert_allclose(points[0].get_xydata(), [[0.3, 0.5], [0.9, 0.8]])
    low, high = np.array([segment[:, 1] for segment in points[2][0].get_segments()]).T
    # Wilson (1927) for 2 of 4 and 80 of 100.
    np.testing.assert_allclose(low, [0.150, 0.711], atol=1e-3)
    np.testing.assert_allclose(high, [0.850, 0.867], atol=1e-3)
    assert upper.get_title() == "ECE 0.108"
    assert [patch.get_height() for patch in lower.patches] == [0, 4, 0, 100]
    assert texts(lower) == ["4", "100"]


def test_reliability_without_any_frame_is_empty() -> None:
    figure = reliability_figure([0, 0], [np.nan, np.nan], [np.nan, np.nan])
    figure.canvas.draw()
    assert texts(figure.axes[1]) == []
    with pytest.raises(UsageError, match="one bin each"):
        reliability_figure([1, 2], [0.5], [0.5, 0.5])


def test_history_pairs_sides_and_marks_the_best() -> None:
    history = {
        "epoch": [0, 1, 2, 3],
        "train_loss": [4, 3, 2, 1],
        "val_loss": [4, np.nan, 2.5, 3],
        "val_macro_f1": [0.1, 0.5, 0.9, 0.8],
        "lr": [1e-3, 1e-3, 1e-4, 1e-6],
        "gpu": [np.nan] * 4,
    }
    figure = history_figure(history)
    loss, f1, rate = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["loss", "macro_f1", "lr"]
    assert [line.get_label() for line in loss.lines][:2] == ["train", "val"]
    assert loss.lines[1].get_xdata().tolist() == [0, 2, 3]
    assert texts(loss) == ["best 2.5"]
    assert texts(f1) == ["best 0.9"]
    assert rate.get_yscale() == "log"
    figure.canvas.draw()


def test_history_of_one_epoch_and_of_nothing() -> None:
    history_figure({"epoch": [0], "train_loss": [1.0]}).canvas.draw()
    with pytest.raises(UsageError, match="expected a column 'epoch'"):
        history_figure({"loss": [1.0]})
    with pytest.raises(UsageError, match="expected 1 to 9 with at least one number"):
        history_figure({"epoch": [0], "loss": [np.nan]})
    with pytest.raises(UsageError, match=r"loss of shape \(2,\)"):
        history_figure({"epoch": [0], "loss": [1.0, 2.0]})


def test_decoders_write_every_value_and_what_was_not_measured() -> None:
    decoders = {
        "raw": {"accuracy": 0.9, "edit": 0.04},
        "hsmm": {"accuracy": 1.0, "edit": None},
        "uniform": {"accuracy": "NOT_MEASURED", "edit": float("nan")},
    }
    figure = decoder_figure(decoders, metrics=["accuracy", "edit"], chosen="hsmm")
    left, right = figure.axes
    assert texts(left) == ["0.900", "1.000", "NOT_MEASURED"]
    assert texts(right) == ["0.040", "NOT_MEASURED", "nan"]
    assert [patch.get_width() for patch in left.patches] == [0.9, 1.0, 0.0]
    face = [patch.get_facecolor() for patch in left.patches]
    assert face[0] == face[2] != face[1]
    assert [label.get_text() for label in left.get_yticklabels()] == list(decoders)
    with pytest.raises(UsageError, match="chosen='hmm', expected one of raw, hsmm, uniform"):
        decoder_figure(decoders, chosen="hmm")


def test_subjects_are_sorted_and_the_worst_is_marked() -> None:
    figure = per_subject_figure({"a": 0.9, "b": 0.3, "c": 1.0, "d": float("nan")}, pooled=0.8)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["b", "a", "c"]
    assert texts(axes) == ["0.300  worst subject", "0.900", "1.000"]
    colour = [patch.get_facecolor() for patch in axes.patches]
    assert colour[0] != colour[1] == colour[2]
    assert axes.get_xlabel() == "macro-F1   (no labelled window: d)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["mean over subjects 0.733", "pooled 0.800"]
    with pytest.raises(UsageError, match="1 scores without a number"):
        per_subject_figure({"a": float("nan")})


@pytest.mark.parametrize("n", [1, 21, 90])
def test_subject_labels_do_not_overlap(n: int) -> None:
    figure = per_subject_figure({f"subject_{i}": i / n for i in range(n)})
    assert not overlaps(figure, figure.axes[0].get_yticklabels())


def test_durations_are_densities_beside_the_law() -> None:
    seconds = np.random.default_rng(0).gamma(4, 0.5, 2000)
    at = np.arange(1, 400) * 0.05
    law = at**3 * np.exp(-at / 0.5)
    law /= law.sum()
    figure = duration_figure({"walk": seconds, "rest": []}, {"walk": (at, law)})
    walk, rest = figure.axes
    density, edges, _ = walk.patches[0].get_data()
    assert (density * np.diff(edges)).sum() == pytest.approx(0.99, abs=0.011)
    fitted = np.interp((edges[1:] + edges[:-1]) / 2, *walk.lines[0].get_data())
    assert np.abs(fitted - density).max() < 0.1
    assert walk.get_title() == "walk (2000)"
    assert "longer, up to" in texts(walk)[0]
    assert rest.get_title() == "rest (0)"
    assert not rest.patches
    assert not rest.lines


def test_duration_titles_of_twelve_classes_do_not_overlap() -> None:
    figure = duration_figure({f"WALKING_UPSTAIRS_AND_MORE_{i}": [1.0, 2.0] for i in range(12)}, {})
    assert not overlaps(figure, [axes.title for axes in figure.axes])
    with pytest.raises(UsageError, match="no class"):
        duration_figure({}, {})
    with pytest.raises(UsageError, match="expected one length"):
        duration_figure({"a": [1.0]}, {"a": ([1, 2], [1.0])})


def test_codes_are_ranked_and_summed() -> None:
    figure = code_usage_figure([1, 0, 6, 3], codebook_size=240, perplexity=2.3)
    left, right = figure.axes
    assert left.get_title() == "3 of 240 codes used"
    assert left.patches[0].get_data().values.tolist() == [6, 3, 1]
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0, 0.6, 0.9, 1.0])
    assert right.get_title() == "1 code makes up half"
    assert right.get_legend().get_texts()[0].get_text() == "perplexity 2.3"
    figure.canvas.draw()
    for counts, size in (([], None), ([0, 0], None), ([-1, 2], None), ([1, 1], 1)):
        with pytest.raises(UsageError, match="E-VIZ-001"):
            code_usage_figure(counts, codebook_size=size)
