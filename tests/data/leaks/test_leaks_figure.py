"""The figure of what trivial inputs reach: a bar for what was measured, a word for what was not."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from conv2d.errors import UsageError
from conv2d.viz.leaks import leaks_figure


def test_what_was_measured_has_a_bar_and_the_rest_a_word(tmp_path):
    figure = leaks_figure(
        ["position", "time_of_day", "channel_mean"],
        ["leak", "NOT_MEASURED", "floor"],
        [0.6, None, 0.3],
        [0.2, None, 0.2],
        [(0.1, 0.3), None, (0.15, 0.25)],
        [[0.5, np.nan, 0.7], [], [0.3]],
        model=0.8,
        path=tmp_path / "leaks.png",
    )
    axes = figure.axes[0]
    widths = [round(bar.get_width(), 3) for bar in axes.patches]
    assert widths == [0.6, 0.2, 0.3, 0.1]  # the bar and its band of chance
    assert [text.get_text() for text in axes.texts] == ["0.600  leak", "not measured", "0.300  floor"]
    dots = [found for found in axes.collections if isinstance(found, PathCollection)]
    assert [len(found.get_offsets()) for found in dots] == [2, 1]
    assert figure.legends[0].get_texts()[-1].get_text() == "model 0.800"
    assert (tmp_path / "leaks.png").is_file()


def test_entries_that_do_not_belong_together_are_refused():
    with pytest.raises(UsageError, match="E-VIZ-001"):
        leaks_figure(["a", "b"], ["leak"], [0.5], [0.1], [(0, 1)], [[0.5]])
    with pytest.raises(UsageError, match="E-VIZ-001"):
        leaks_figure([], [], [], [], [], [])
