"""Every snippet of ``docs/python.md`` runs, in order, in a folder of its own."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from conv2d.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.mark.filterwarnings("ignore:no groups were given:UserWarning", "ignore:class .* is absent:UserWarning")
def test_the_page_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("pandas", "polars", "xarray"):
        pytest.importorskip(library)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    names: dict[str, Any] = {}
    blocks = re.findall(r"```(python|sh)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 5
    for kind, text in blocks:
        if kind == "sh":
            for line in text.splitlines():
                assert main(shlex.split(line)[1:]) == 0
        else:
            exec(compile(text, str(PAGE), "exec"), names)
    torch.set_num_threads(threads)
    assert names["model"].classes
    assert len(names["timeline"].segments) > 0
    assert set(names["classifier"].predict(names["recording"])) <= set(names["model"].classes)
    assert names["walk"].rate_hz == 50
    assert names["walk"].samples.shape == (3, 1, 200)
    assert names["walk"].meta["start"] == "2024-05-01T00:00:00"
