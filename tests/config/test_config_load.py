"""Reading experiment files: what is refused, with which sentence, and what comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.config import apply_overrides, load_config, parse_config, resolve_experiment
from conv2d.config.yaml_lines import dump, parse
from conv2d.errors import ConfigError

BASE = "name: x\ndata: {name: d, sampling_rate: 50, window_size: 128}\n"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load an experiment from its text, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)

    def from_text(text, *overrides):
        (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
        return load_config("x.yaml", overrides)

    return from_text


def in_data(text):
    return f"name: x\ndata:\n  name: d\n  sampling_rate: 50\n  window_size: 128\n  {text}\n"


def in_architecture(text):
    return f"{BASE}model:\n  architecture:\n    {text}\n"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "x.yaml:1: is empty; expected a YAML mapping with the keys name, task, seed, output, model"),
        ("- 1\n", "x.yaml:1: holds [1]; expected a YAML mapping"),
        ("a: b: c\n", "x.yaml:1: not valid YAML: mapping values are not allowed here"),
        (BASE + "\tx: 1\n", "x.yaml:3: not valid YAML: found character '\\t'"),
        (BASE + "x: *nope\n", "x.yaml:3: not valid YAML: found undefined alias 'nope'"),
        (BASE + "---\na: 1\n", "x.yaml:3: not valid YAML: a second document begins; expected one"),
        (BASE + "x: \x07\n", "x.yaml:3: not valid YAML: the character '\\x07' is not allowed"),
        (BASE + "x: !!python/name:os.system 1\n", "x.yaml:3: the tag"),
        (BASE + "x: &a [*a]\n", "x.yaml:1: nested too deeply"),
        ("[" * 3000, "x.yaml:1: nested too deeply"),
        (BASE + "1: 2\n", "x.yaml:3: the key '1' is not text; expected a name"),
        (BASE + "? [a]\n: 2\n", "x.yaml:3: the key that is a list or a block is not text"),
        (BASE + "name: y\n", "x.yaml:3: duplicate key name; it stands in line 1 already"),
        (in_data("hop: 1\n  hop: 2"), "x.yaml:7: duplicate key data.hop; it stands in line 6 already"),
        (BASE + "modl: {}\n", "x.yaml:3: unknown key modl; did you mean 'model'?"),
        (
            BASE + "levels: [8]\n",
            "x.yaml:3: unknown key levels; did you mean 'model.architecture.quantization.levels'?",
        ),
        (BASE + "zzz: 1\n", "x.yaml:3: unknown key zzz; expected one of name, task, seed, output, model, data"),
        (
            in_architecture("quantization:\n      type: fsq\n      level: [8]"),
            "x.yaml:7: unknown key model.architecture.quantization.level; did you mean 'levels'?",
        ),
        (
            in_architecture("quantization: {levels: [8, 300]}"),
            "x.yaml:5: model.architecture.quantization.levels[1] is 300; expected a whole number from 2 to 255",
        ),
        (
            in_architecture("quantization: {levels: 8}"),
            "is 8; expected a non-empty list of whole numbers from 2 to 255",
        ),
        (in_architecture("quantization: {levels: []}"), "is []; expected a non-empty list of whole numbers"),
        (
            in_architecture("quantization: {levels: [255, 255, 255, 255, 255, 255, 255, 255]}"),
            "model.architecture.quantization.levels make 1.79e+19 codes, more than 2^63 - 1; use fewer or smaller",
        ),
        (in_architecture("quantization: {embedding_dim: 3}"), "embedding_dim is 3, less than the 5 levels"),
        (
            in_architecture("clustering:\n      type: gmm\n      min_clusters: 3"),
            "x.yaml:6: model.architecture.clustering.type is 'gmm', but clustering is not part of this version",
        ),
        (in_architecture("temporal: {window_size: 6}"), "window_size is 6; expected an odd number"),
        (in_architecture("temporal: {min_dwell: 6, min_dwell_s: 3}"), "min_dwell_s stands beside min_dwell; give the"),
        (in_architecture("quantization: {positions: 200}"), "positions is 200, more than the"),
        (
            in_architecture("temporal: {max_duration_s: 1, min_dwell_s: 3}"),
            "max_duration_s is 1, less than min_dwell_s",
        ),
        (
            in_architecture("temporal: {emission_weight: high}"),
            "is 'high'; expected 'auto' or a number above 0 and up to",
        ),
        (BASE + "model: 5\n", "x.yaml:3: model is 5; expected a block with the keys name, architecture"),
        (BASE + "seed: -1\n", "x.yaml:3: seed is -1; expected a whole number from 0 to 4294967295"),
        (in_data("norms: 3"), "x.yaml:6: data.norms is 3; expected true or false"),
        (BASE + "seed: true\n", "x.yaml:3: seed is true; expected a whole number"),
        (BASE + "seed: 1.5\n", "x.yaml:3: seed is 1.5; expected a whole number"),
        (BASE + "seed: '1'\n", "x.yaml:3: seed is '1'; expected a whole number"),
        (BASE + "seed:\n", "x.yaml:3: seed is empty; expected a whole number"),
        (BASE + "task: tokens\n", "x.yaml:3: task is 'tokens'; expected 'behavior'"),
        (BASE + "training: {learning_rate: .inf}\n", "learning_rate is .inf; expected a number above 0 and up to 1"),
        (BASE + "training: {learning_rate: .nan}\n", "learning_rate is .nan; expected a number above 0 and up to 1"),
        (BASE + "training: {learning_rate: 1e999}\n", "learning_rate is .inf; expected a number"),
        (
            BASE + "training: {batch_size: 128, windows_per_epoch: 64}\n",
            "batch_size is 128, more than windows_per_epoch",
        ),
        (
            BASE + "training: {train_hop: 129}\n",
            "x.yaml:3: training.train_hop is 129, more than data.window_size (128)",
        ),
        (BASE + "evaluation: {metrics: [acuracy]}\n", "metrics[0] is 'acuracy'; expected 'accuracy', 'macro_f1'"),
        (BASE + "evaluation: {metrics: [acuracy]}\n", "; did you mean 'accuracy'?"),
        (BASE + "evaluation: {baselines: [forest, forest]}\n", "evaluation.baselines names 'forest' twice"),
        ("name: x\n", "x.yaml:1: data is missing; expected a block with the keys name, path, sampling_rate"),
        (
            "name: x\ndata:\n  name: d\n  window_size: 128\n",
            "x.yaml:2: data.sampling_rate is missing; expected a number",
        ),
        (
            "name: a b\ndata: {name: d, sampling_rate: 50, window_size: 128}\n",
            "name is 'a b'; expected a name of letters",
        ),
        (
            "name: x\ndata:\n  name: d\n  samplingrate: 50\n  window_size: 128\n",
            "x.yaml:4: unknown key data.samplingrate; did you mean 'sampling_rate'? (and 1 more)",
        ),
        (in_data("hop: 200"), "x.yaml:6: data.hop is 200, more than window_size (128), which would skip samples"),
        (in_data("hop: 0"), "x.yaml:6: data.hop is 0; expected a whole number of at least 1"),
        (in_data("hop: [1]"), "x.yaml:6: data.hop is [1]; expected a whole number of at least 1"),
        (
            in_data("decode_hop: 10"),
            "x.yaml:6: data.decode_hop is 10, which does not divide hop (64); expected a divisor",
        ),
        (in_data("label_rule: center"), "expected 'centre', 'majority' or 'pure'; did you mean 'centre'?"),
        (in_data("sensors: 0"), "is 0; expected 'all' or a whole number of at least 1 or a non-empty list of names"),
        (in_data("sensors: [a, a]"), "x.yaml:6: data.sensors names 'a' twice; name each once"),
        (in_data("sensors: [1, b]"), "x.yaml:6: data.sensors[0] is 1; expected text; put it in quotes: '1'"),
        (in_data("test_subjects:\n  - p1\n  - 16"), "x.yaml:8: data.test_subjects[1] is 16; expected text; put it in"),
        (
            in_data("corrections: [{where: a, columns: [b]}]"),
            "data.corrections[0].divide is missing; expected a number",
        ),
        (in_data("simulate: {subjects: 2}"), "data.simulate.subjects is 2; expected a whole number from 3 to 1000"),
        (
            "name: x\ndata: {name: d, sampling_rate: 50, window_size: 7}\n",
            "window_size is 7; expected a whole number from 8",
        ),
        ("name: x\ndata: {name: d, sampling_rate: 50, window_size: true}\n", "window_size is true; expected a whole"),
    ],
)
def test_a_fault_is_one_sentence_with_line_and_key(load, text, sentence):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("x.yaml:")


def test_the_first_fault_of_the_file_is_told_and_the_others_counted(load):
    with pytest.raises(ConfigError, match=r"^x\.yaml:3: seed is -1; .* \(and 2 more\)$"):
        load(BASE + "seed: -1\ntraining: {epochs: 0, dropout: 1}\n".replace("dropout: 1", "warmup: 2"))


def test_bytes_that_are_not_text_are_named_with_their_line(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"name: x\n\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"x\.yaml:2: is not UTF-8 text"):
        load_config(tmp_path / "x.yaml")


def test_aliases_of_aliases_do_not_grow_without_bound(load):
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    with pytest.raises(ConfigError, match="holds more than 20000 entries"):
        load("\n".join(lines))


def test_numbers_are_what_they_look_like(load):
    config = load(BASE + "training: {learning_rate: 1e-3, weight_decay: 0}\nseed: 010\n")
    assert config.training.learning_rate == 0.001
    assert config.training.weight_decay == 0.0
    assert config.seed == 10  # YAML 1.1 would read eight


def test_classes_may_be_called_like_the_truth_values_of_old_yaml(load):
    assert load(in_data("classes: [no, on, walk]")).data.classes == ("no", "on", "walk")


def test_hops_follow_from_the_window_where_they_are_not_given(load):
    data = load(BASE).data
    assert (data.hop, data.decode_hop) == (64, 8)
    data = load(in_data("hop: 50")).data
    assert (data.hop, data.decode_hop) == (50, 10)


def test_seconds_take_the_place_of_the_default_frames_and_survive_writing(load):
    temporal = load(in_architecture("temporal: {min_dwell_s: 0.3, window_s: 1.0}")).model.architecture.temporal
    assert (temporal.min_dwell, temporal.window_size) == (None, None)
    assert temporal.min_dwell_frames(0.1) == 3  # not four, though 0.3 / 0.1 is a hair above three
    assert [temporal.window_frames(s) for s in (0.1, 0.2, 0.25, 0.5, 1.0, 3.0)] == [11, 5, 5, 3, 1, 1]


def test_a_config_cannot_be_changed_and_survives_writing_and_reading(load, tmp_path):
    config = load(in_architecture("temporal: {min_dwell_s: 0.3}") + "seed: 7\n")
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3
    (tmp_path / "again.yaml").write_text(config.to_yaml())
    again = load_config(tmp_path / "again.yaml")
    assert again == config
    assert again.sha256() == config.sha256()
    assert hash(again) == hash(config)


printable = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, blacklist_categories=["Cc"]), min_size=1)


@given(
    st.dictionaries(
        printable,
        st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | printable
        | st.lists(printable | st.floats(allow_nan=False)),
    )
)  # fmt: skip
def test_what_is_written_reads_back_the_same(values):
    assert parse(dump(values))[0] == values


@pytest.mark.parametrize(
    "value", ["no", "1e3", "010", "0x1F", "1:30", "null", "~", "", "2024-01-01", "=", "<<", "a: b"]
)
def test_text_that_looks_like_something_else_stays_text(value):
    assert parse(dump({"a": value, "b": [value]}))[0] == {"a": value, "b": [value]}


def test_the_hash_is_that_of_the_experiment_not_of_the_place():
    one = load_config("demo")
    assert one.sha256() == load_config("demo", ["output=/elsewhere", "data.path=/data"]).sha256()
    assert one.sha256() != load_config("demo", ["seed=1"]).sha256()
    assert one.sha256() != load_config("demo", ["data.hop=25", "data.decode_hop=5"]).sha256()
    assert len(one.sha256()) == 64


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("seed", "override 'seed': expected key=value, such as training.epochs=10"),
        ("=3", "override '=3': expected key=value"),
        ("seed=x", "override 'seed=x': seed is 'x'; expected a whole number"),
        ("levels=[8]", "unknown key levels; did you mean 'model.architecture.quantization.levels'?"),
        (
            "quantization.levels=[8]",
            "unknown key quantization.levels; did you mean 'model.architecture.quantization.levels'?",
        ),
        ("trainin.epochs=3", "unknown key trainin.epochs; did you mean 'training.epochs'?"),
        ("train.epochs=3", "did you mean 'training.epochs'?"),
        ("foo.bar=3", "unknown key foo.bar; expected a dotted path that begins with name, task, seed"),
        ("training.epochs=[", "override 'training.epochs=[': not valid YAML"),
        (
            "training.augmentation={rotation: 3}",
            "unknown key training.augmentation.rotation; did you mean 'rotation_deg'?",
        ),
        ("data.hop=500", "override 'data.hop=500': data.hop is 500, more than window_size (100)"),
        ("training=3", "override 'training=3': training is 3; expected a block"),
    ],
)
def test_a_wrong_override_is_named_with_its_key(override, sentence):
    with pytest.raises(ConfigError) as caught:
        load_config("demo", [override])
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("override ")


def test_overrides_reach_values_blocks_and_missing_blocks():
    config = load_config(
        "demo",
        [
            "model.architecture.quantization.levels=[8, 6, 5]",
            "training.ema=0.99",
            "training.ema=null",
            "data.sensors=[neck]",
            "evaluation={folds: 4}",
            "data.simulate=null",
            "data.simulate.seed=3",
        ],
    )
    assert config.model.architecture.quantization.levels == (8, 6, 5)
    assert config.training.ema is None
    assert config.data.sensors == ("neck",)
    assert config.evaluation.folds == 4
    assert config.data.simulate is not None
    assert config.data.simulate.seed == 3


def test_overrides_of_a_config_leave_the_first_alone():
    first = load_config("demo")
    second = apply_overrides(first, ["seed=5"])
    assert (first.seed, second.seed) == (0, 5)
    assert second.output == first.output
    # The override changes the window, the fault is the hop's, which no line of a file and no override holds.
    with pytest.raises(ConfigError, match=r"^experiment 'demo': data\.hop is 50, more than window_size \(20\)"):
        apply_overrides(first, ["data.window_size=20"])


def test_a_dict_is_not_changed_by_overrides():
    values = {"name": "x", "data": {"name": "x", "sampling_rate": 50, "window_size": 128}}
    parse_config(values, ["data.hop=32", "seed=2"])
    assert values == {"name": "x", "data": {"name": "x", "sampling_rate": 50, "window_size": 128}}


def test_an_experiment_is_a_path_first_and_a_name_of_the_package_second(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = resolve_experiment("demo")
    assert packaged.is_absolute()
    (tmp_path / "runs").mkdir()
    (tmp_path / "demo").mkdir()  # the folder of an earlier output hides nothing
    assert resolve_experiment("demo") == packaged
    (tmp_path / "demo.yaml").write_text("x")
    assert str(resolve_experiment("demo.yaml")) == "demo.yaml"
    with pytest.raises(ConfigError, match="runs is a folder; expected an experiment file"):
        resolve_experiment("runs")
    with pytest.raises(ConfigError, match=r"no experiment file 'conf/none.yaml'; .* name of one in the package: demo"):
        resolve_experiment("conf/none.yaml")
