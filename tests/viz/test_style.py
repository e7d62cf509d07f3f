"""Colours that everyone can tell apart, and names that stay as they are."""

from itertools import combinations

import numpy as np
import pytest

from conv2d.errors import UsageError
from conv2d.viz.style import CLASS_COLOURS, check, class_colours, figure_style, new_figure, plain, save_figure, shorten

# Machado, Oliveira and Fernandes (2009): what is left of linear RGB without the red and without the green cone.
SIGHT = {
    "common": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def lab(colour: str, sight: str) -> np.ndarray:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(SIGHT[sight]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ linear / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_of_twelve_classes_differ(sight: str) -> None:
    for a, b in combinations(CLASS_COLOURS, 2):
        assert np.linalg.norm(lab(a, sight) - lab(b, sight)) > 20, (a, b)


def test_a_class_keeps_its_colour_and_more_than_twelve_get_one() -> None:
    assert class_colours(5) == class_colours(12)[:5]
    assert len(set(class_colours(36))) == 36


def test_names_are_shown_as_they_stand() -> None:
    with figure_style():
        figure = new_figure("a_$b$_c")
    figure.canvas.draw()
    assert figure.get_suptitle() == r"a_\$b\$_c"
    assert plain(3) == "3"
    assert shorten("abc", 3) == "abc"
    assert shorten("abcdefgh", 5) == "ab…gh"


def test_the_settings_of_the_caller_stay() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with figure_style():
        new_figure("x")
    assert dict(mpl.rcParams) == before


def test_a_figure_is_saved_whole_or_not_at_all(tmp_path) -> None:
    with figure_style():
        figure = new_figure("x")
    save_figure(figure, tmp_path / "x.svg")
    save_figure(figure, None)
    with pytest.raises(ValueError, match="xyz"):
        save_figure(figure, tmp_path / "y.xyz")
    assert [path.name for path in tmp_path.iterdir()] == ["x.svg"]


def test_check_says_what_was_got() -> None:
    with pytest.raises(UsageError, match="E-VIZ-001: got a, expected b; pass arrays that belong together"):
        check(False, "a", "b")
