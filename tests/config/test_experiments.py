"""The experiment files of the repository, the structure of the first README, the document of every key."""

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from conv2d.config import Config, default_config, load_config, parse_config, select_names
from conv2d.config.schema import allowed, dotted_keys, keys
from conv2d.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "conf" / "exp"
SHARED = Path(os.environ.get("CONV2D_SHARED_DATA", ROOT.parent / "shared" / "data"))

README_EXPERIMENT = """
name: dogs_behavioral_analysis
model:
  name: conv2d_fsq
  architecture:
    encoder: conv2d
    quantization:
      type: fsq
      levels: [8, 6, 5]
      embedding_dim: 64
    temporal:
      type: median_hysteresis
      min_dwell: 5
      window_size: 7

data:
  name: quadruped_imu
  sampling_rate: 100
  window_size: 100
  sensors: 2
  channels: 9

evaluation:
  metrics:
    - accuracy
    - macro_f1
    - ece
    - coverage
    - motif_count
"""


@pytest.mark.parametrize(
    ("name", "window", "hop", "rule", "classes", "rotation"),
    [
        ("hapt", 128, 64, "centre", "all", 10),
        ("hapt6", 128, 64, "pure", 6, 15),
        ("sp_sw_har", 100, 50, "centre", "all", 180),
        ("cows", 100, 50, "centre", 4, 180),
        ("cows3", 100, 50, "centre", 3, 180),
        ("dogs", 100, 50, "centre", 7, 30),
        ("demo", 100, 50, "centre", "all", 20),
    ],
)
def test_an_experiment_says_how_its_data_are_cut(name, window, hop, rule, classes, rotation):
    config = load_config(EXPERIMENTS / f"{name}.yaml")
    data = config.data
    assert (data.window_size, data.hop, data.label_rule) == (window, hop, rule)
    assert data.classes == classes if classes == "all" else len(data.classes) == classes
    assert config.training.augmentation.rotation_deg == rotation
    assert data.hop % data.decode_hop == 0
    assert config.output == Path("runs") / config.name
    assert (data.simulate is not None) == (name == "demo")


def test_the_packaged_demo_is_that_of_the_repository():
    packaged = ROOT / "python" / "conv2d" / "conf" / "demo.yaml"
    assert packaged.read_bytes() == (EXPERIMENTS / "demo.yaml").read_bytes()


def test_no_experiment_is_without_a_test():
    assert {file.stem for file in EXPERIMENTS.glob("*.yaml")} == {
        "hapt", "hapt6", "sp_sw_har", "cows", "cows3", "dogs", "demo",
    }  # fmt: skip


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("hapt", "hapt"),
        ("hapt6", "hapt"),
        ("sp_sw_har", "sp_sw_har"),
        ("cows", "cow_imu2x9"),
        ("cows3", "cow_imu2x9"),
    ],
)
def test_an_experiment_fits_its_data_set(name, folder):
    file = SHARED / folder / "dataset.yaml"
    if not file.is_file():
        pytest.skip(f"the recordings are not there: {file}")
    meta = yaml.safe_load(file.read_text())
    data = load_config(EXPERIMENTS / f"{name}.yaml").data
    assert data.sampling_rate == meta["rate_hz"]
    for key in ("sensors", "channels", "classes"):
        assert set(select_names(key, getattr(data, key), meta[key])) <= set(meta[key])
    for correction in data.corrections:
        header = (SHARED / folder / "recordings.csv").read_text().splitlines()[0]
        assert correction.where in header.split(",")


def test_the_experiment_of_the_first_readme_loads_without_its_clustering(tmp_path):
    file = tmp_path / "dogs.yaml"
    file.write_text(README_EXPERIMENT)
    config = load_config(file)
    assert config.model.architecture.quantization.codebook_size == 240
    assert config.model.architecture.temporal.min_dwell_frames(config.data.frame_s) == 5
    assert (config.data.sensors, config.data.channels) == (2, 9)
    file.write_text(README_EXPERIMENT.replace("    temporal:", "    clustering:\n      type: gmm\n    temporal:"))
    with pytest.raises(ConfigError, match=r"clustering\.type is 'gmm', but clustering is not part of this version"):
        load_config(file)


def facts(rate_hz, name="some set", classes=("a", "b")):
    return SimpleNamespace(name=name, rate_hz=rate_hz, sensors=("s",), channels=("acc_x", "acc_y"), classes=classes)


@pytest.mark.parametrize(
    ("rate", "window", "why"),
    [
        (50, 128, "about 2.56 s"),
        (100, 256, "about 2.56 s"),
        (10, 96, "fewest"),
        (0.5, 96, "fewest"),
        (62.5, 160, "about 2.56 s"),
        (10_000, 1024, "most"),
    ],
)
def test_defaults_follow_the_rate_and_say_why(rate, window, why):
    config, reasons = default_config(facts(rate))
    data = config.data
    assert (data.window_size, data.hop, data.decode_hop) == (window, window // 2, window // 16)
    assert why in reasons[0]
    assert f"{window} samples" in reasons[0]
    assert (data.sensors, data.channels, data.classes) == (("s",), ("acc_x", "acc_y"), ("a", "b"))
    assert config.name == "some_set"
    assert all(reason.partition(": ")[0] in dotted_keys() for reason in reasons)


def test_what_an_override_says_is_not_explained_as_a_default():
    config, reasons = default_config(facts(50), ["data.window_size=200", "seed=4"])
    assert (config.data.window_size, config.data.hop, config.seed) == (200, 100, 4)
    assert not any(reason.startswith("data.window_size") for reason in reasons)
    assert "data.hop: 100 samples, half a window" in reasons


@pytest.mark.parametrize("name", ["", "...", "日本", "a/../b", "-x"])
def test_defaults_give_a_usable_name_to_any_data_set(name):
    config, _ = default_config(facts(50, name=name or "?"))
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", config.name)


def test_a_count_checks_and_names_choose():
    assert select_names("sensors", "all", ["b", "a"]) == ("b", "a")
    assert select_names("sensors", ("a",), ["b", "a"]) == ("a",)
    with pytest.raises(DataError, match=r"says 2 sensors, the data set has 3: a, b, c; name the ones .* data\.sensors"):
        select_names("sensors", 2, ["a", "b", "c"])
    with pytest.raises(DataError, match=r"data\.channels names 'acc_X', but .* has acc_x; did you mean 'acc_x'\?"):
        select_names("channels", ["acc_X"], ["acc_x"])


def rows():
    """The table rows of the document: key, allowed values, default."""
    text = (ROOT / "docs" / "config.md").read_text()
    return {m[1]: (m[2].strip(), m[3].strip()) for m in re.finditer(r"^\| `([\w.]+)` \|(.*?)\|(.*?)\|", text, re.M)}


def test_the_document_has_every_key_and_no_other():
    leaves = [dotted for dotted in dotted_keys() if not keys(tuple(dotted.split(".")))]
    documented = [key for key in rows() if not key.startswith("data.corrections.")]
    assert documented == leaves
    assert {key.rpartition(".")[2] for key in rows() if key.startswith("data.corrections.")} == {
        "where", "columns", "divide",
    }  # fmt: skip


def test_the_document_states_what_is_allowed_and_the_default():
    values = parse_config({"name": "x", "data": {"name": "d", "sampling_rate": 64, "window_size": 128}}).model_dump(
        mode="json"
    )
    for key, (words, default) in rows().items():
        place = tuple(key.split("."))
        if key.startswith("data.corrections."):
            place = ("data", "corrections", 0, place[-1])
        assert words.replace("`", "'") == allowed(place), key
        if key.startswith(("data.corrections.", "data.simulate.")) or default in ("required", "see below"):
            continue
        value = values
        for step in place:
            value = value[step]
        assert yaml.safe_load(default.strip("`")) == value, key


def test_config_is_the_whole_file():
    assert keys() == tuple(Config.model_fields)
