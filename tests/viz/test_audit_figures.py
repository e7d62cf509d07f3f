"""The pictures of an audit show what the arrays say."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from conv2d.errors import UsageError
from conv2d.viz.audit import class_table_figure, ribbons_figure, shared_rows_figure
from conv2d.viz.audit_sensors import correlation_figure, gravity_figure, sphere_figure
from conv2d.viz.style import ALERT, class_colours


def labels(axes, which):
    return [text.get_text() for text in getattr(axes, f"get_{which}ticklabels")()]


def test_a_block_that_is_cut_off_stands_last_and_is_outlined():
    bouts = np.array([[0, 4, 0], [3, 0, 2], [5, 0, 1]])
    groups = [0, 1, 1, 1, 0, 1]  # subjects a, b, c, then classes x, y, z
    axes = class_table_figure(10 * bouts, bouts, ["a", "b", "c"], ["x", "y", "z"], groups=groups).axes[0]
    assert (labels(axes, "y"), labels(axes, "x")) == (["b", "c", "a"], ["x", "z", "y"])
    (box,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert (box.get_x(), box.get_y(), box.get_width(), box.get_height()) == (1.5, 1.5, 1, 1)
    assert {(t.get_position(), t.get_text()) for t in axes.texts} == {
        ((0, 0), "3"), ((1, 0), "2"), ((0, 1), "5"), ((1, 1), "1"), ((2, 2), "4"),
    }  # fmt: skip


def test_a_set_in_one_piece_has_no_outline_and_empty_classes_do_not_end_it():
    axes = class_table_figure([[5, 0], [0, 0]], [[1, 0], [0, 0]], ["a", "b"], ["x", "y"], groups=[0, -1, 0, -1]).axes[0]
    assert not axes.patches
    assert labels(axes, "y") == ["a", "b"]
    class_table_figure(np.zeros((1, 1)), np.zeros((1, 1)), ["a"], ["x"])


def test_recordings_out_of_scale_are_marked_and_named():
    values = {"back/acc": [1.0, np.nan, 7.6, 7.7], "neck/acc": [0.1, 1.0, 1.1, 0.9]}
    figure = gravity_figure(values, ["rex", "rex", "zoe day1", "zoe day1"])
    back, neck = figure.axes
    assert [text.get_text() for text in back.texts] == ["zoe day1"]
    assert [text.get_text() for text in neck.texts] == ["rex"]
    off = [c.get_offsets().tolist() for c in back.collections if to_hex(c.get_facecolor()[0]).upper() == ALERT]
    assert off == [[[2, 7.6], [3, 7.7]]]
    assert labels(neck, "x") == ["rex", "zoe"]


def test_ribbons_have_the_colour_of_their_label_at_its_place():
    colours = class_colours(2)
    runs = [("a", [(0, 30, 0), (30, 40, -1), (40, 100, 1)], 100), ("b", [(0, 7, 1)], 7), ("c", [], 0)]
    image = ribbons_figure(runs, ["x", "y"]).axes[0].images[0].get_array()
    assert image.shape == (3, 600, 3)
    assert [to_hex(image[0, place]).upper() for place in (0, 179, 200, 240, 599)] == [
        colours[0], colours[0], "#EFEFEF", colours[1], colours[1],
    ]  # fmt: skip
    assert {to_hex(colour).upper() for colour in image[1]} == {colours[1]}
    assert {to_hex(colour).upper() for colour in image[2]} == {"#EFEFEF"}


def test_many_ribbons_are_named_by_subject():
    runs = [(f"r{i}", [(0, 10, i % 2)], 10) for i in range(384)]
    figure = ribbons_figure(runs, ["x", "y"], groups=[f"cow{i // 96}" for i in range(384)])
    assert labels(figure.axes[0], "y") == ["cow0", "cow1", "cow2", "cow3"]
    assert figure.get_size_inches()[1] < 12


def test_of_many_classes_the_longest_are_drawn_and_the_legend_leaves_the_ribbons_their_place(tmp_path):
    classes = [f"a rather long class {i:03d}" for i in range(200)]
    runs = [(i * 100, i * 100 + 1 + i % 100, i) for i in range(200)]
    few = ribbons_figure([("r", runs[:1], 20000)] * 4, classes)
    figure = ribbons_figure([("r", runs, 20000)] * 4, classes, path=tmp_path / "x.png")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [classes[i] for i in [*range(90, 100), *range(190, 200)]] + ["other (180 classes)", "not annotated"]
    patches = [to_hex(patch.get_facecolor()).upper() for patch in figure.legends[0].get_patches()]
    assert patches[:20] == [colour.upper() for colour in class_colours(20)]
    few.savefig(tmp_path / "few.png")
    tall = [f.axes[0].get_window_extent().height / f.dpi for f in (few, figure)]
    assert tall[1] == pytest.approx(tall[0], abs=0.2)
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.width
    assert legend.y1 <= figure.axes[0].get_window_extent().y0


def test_a_table_of_many_classes_has_a_column_for_the_others():
    bouts = np.zeros((3, 50), int)
    bouts[0, :25], bouts[1, 20:49], bouts[2, 49] = 1, 2, 3
    seconds = bouts * np.arange(50, 0, -1)
    groups = [0, 0, 1, *[0] * 49, 1]
    axes = class_table_figure(seconds, bouts, list("abc"), [f"k{i}" for i in range(50)], groups=groups).axes[0]
    names = labels(axes, "x")
    assert (len(names), names[-1]) == (21, "30 others")
    assert sum(int(text.get_text()) for text in axes.texts) == bouts.sum()
    assert not axes.patches


def test_correlations_are_written_into_their_cells():
    table = np.array([[-0.99, 0, 0], [0, -0.98, 0], [0, 0, 0.97]])
    figure = correlation_figure({"acc": np.eye(3), "gyr": table}, ("bno", "mpu"))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["acc", "gyr"]
    texts = [text.get_text() for text in figure.axes[1].texts]
    assert (texts[0], texts[4], texts[8]) == ("-0.99", "-0.98", "+0.97")


def test_points_are_drawn_before_and_after():
    points = np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    figure = sphere_figure(points, [2, 2, 2], [0, 0, 0])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[2] == "mean distance 500.0 mg"
    assert titles[5] == "mean distance 0.0 mg"


def test_pairs_are_drawn_both_ways_in_the_order_of_subjects():
    axes = shared_rows_figure([(0, 3, 5), (1, 2, 9)], list("abcd"), ["s2", "s1", "s1", "s2"]).axes[0]
    assert labels(axes, "y") == ["b", "c", "a", "d"]
    marks = axes.collections[0]
    drawn = {
        tuple(map(int, place)): int(rows) for place, rows in zip(marks.get_offsets(), marks.get_array(), strict=True)
    }
    assert drawn == {(0, 1): 9, (1, 0): 9, (2, 3): 5, (3, 2): 5}


@pytest.mark.parametrize(
    "call",
    [
        lambda: class_table_figure(np.zeros((2, 2)), np.zeros((2, 3)), ["a", "b"], ["x", "y"]),
        lambda: gravity_figure({"a": [1, 2]}, ["x"]),
        lambda: gravity_figure({}, ["x"]),
        lambda: correlation_figure({"acc": np.zeros((2, 3))}, ("a", "b")),
        lambda: ribbons_figure([], ["x"]),
        lambda: sphere_figure(np.zeros((0, 3)), np.ones(3), np.zeros(3)),
        lambda: shared_rows_figure([], ["a"], ["s"]),
    ],
)
def test_arrays_that_do_not_fit_are_refused(call):
    with pytest.raises(UsageError, match="E-VIZ-001"):
        call()
