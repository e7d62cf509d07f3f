"""Every snippet of ``docs/learning.md`` runs, in order, and does what the page says."""

import re
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parents[2] / "docs" / "learning.md"


def test_the_page_runs_from_top_to_bottom() -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    for text in blocks:
        exec(compile(text, str(PAGE), "exec"), names)
        if "timeline" in names and "first" not in names:
            names["first"] = names["model"]
    truth = names["truth"]
    for model, X in ((names["first"], names["X"]), (names["by_codes"], names["codes"])):
        agreement = (model.predict(X, names["lengths"]) == truth).mean()
        assert max(agreement, 1 - agreement) > 0.97
        assert (np.diff(model.monitor_.history) >= 0).all()
    # The labels have named the states.
    np.testing.assert_allclose(names["model"].means_[:, 0], [0, 3], atol=0.3)
    np.testing.assert_allclose(names["counts"].emissions_.rates, [1, 5], atol=0.5)
    np.testing.assert_allclose(names["world"].mean_durations_s_, [2.0, 1.0], rtol=0.1)
