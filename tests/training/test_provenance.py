"""Where a number comes from: the code itself, not only its version, and the machine."""

import json
import os
from pathlib import Path

import torch

from conv2d.config import Config
from conv2d.training.provenance import CODE_SHA256, hash_code, provenance


def test_any_change_of_a_module_or_of_the_core_shows_and_nothing_else_does(tmp_path: Path) -> None:
    package, core = tmp_path / "package", tmp_path / "core.so"
    (package / "sub").mkdir(parents=True)
    core.write_bytes(b"core")
    (package / "a.py").write_text("a")
    (package / "sub" / "b.py").write_text("b")
    seen = [hash_code(package, core)]

    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"x")
    os.utime(package / "a.py", (0, 0))
    assert hash_code(package, core) == seen[0]

    (package / "sub" / "b.py").write_text("b ")
    seen.append(hash_code(package, core))
    (package / "sub" / "b.py").rename(package / "b.py")
    seen.append(hash_code(package, core))
    core.write_bytes(b"core built anew")
    seen.append(hash_code(package, core))
    assert len(set(seen)) == 4


def test_facts_name_the_code_the_settings_and_the_machine(small_config: Config) -> None:
    facts = provenance(small_config, "ab12", 3, simulated=True, command="eval")
    assert facts == json.loads(json.dumps(facts))
    assert facts["config_sha256"] == small_config.sha256()
    assert (facts["data_sha256"], facts["seed"], facts["simulated"], facts["command"]) == ("ab12", 3, True, "eval")
    assert facts["code_sha256"] == CODE_SHA256
    machine = facts["machine"]
    assert 1 <= machine["cores"] <= (os.cpu_count() or 1)
    assert machine["torch_threads"] == torch.get_num_threads()
    assert machine["cpu"].strip()
    assert not machine["cpu"].isdigit()
