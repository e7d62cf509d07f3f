"""The mapping file of an import: every key is checked, and what is off is said with a way out."""

import pytest

from conv2d.data.importers.mapping import read_mapping
from conv2d.errors import ConfigError

MAPPING = {
    "name": "dogs",
    "time": {"column": "t_sec", "unit": "s"},
    "channels": {"back/acc_x": {"column": "ABack_x", "scale": 9.81}, "neck/acc_x": None},
    "label": {"column": "Behavior", "map": {"Galloping": "running", "Playing": None}, "null": ["<undefined>"]},
    "subject": {"column": "DogID"},
    "recording": {"columns": ["DogID", "TestNum"]},
    "meta": {"test": "TestNum"},
    "quality": {"gap_ms": "gap"},
}


def test_what_a_mapping_says():
    mapping = read_mapping(MAPPING)
    assert (mapping.sensors, mapping.channel_names) == (("back", "neck"), ("acc_x",))
    assert (mapping.channels["back/acc_x"].scale, mapping.channels["neck/acc_x"].column) == (9.81, None)
    assert mapping.label_map == {"Galloping": "running", "Playing": None, "<undefined>": None}
    assert mapping.columns == ("t_sec", "ABack_x", "gap", "DogID", "TestNum", "Behavior")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chanels": {}}, r"unknown key 'chanels'; did you mean channels\?"),
        ({"name": ...}, "has no key name; add it"),
        ({"channels": ...}, "has no key channels; add it"),
        ({"subject": ...}, "has no key subject; add it"),
        ({"channels": ["a"]}, r"channels of .* is \['a'\], expected <sensor>/<channel>: column"),
        ({"channels": {"acc_x": "a"}}, "has 'acc_x', expected <sensor>/<channel>; rename it"),
        ({"channels": {"back/x": {"column": 3}}}, "column of channel back/x of .* is 3, expected a column's name"),
        (
            {"channels": {"back/x": {"column": "a", "scale": 0}}},
            "scale of channel back/x is 0, expected a number other",
        ),
        ({"channels": {"back/x": {"colunm": "a"}}}, r"unknown key 'colunm'; did you mean column\?"),
        (
            {"channels": {"back/x": "a", "back/y": "b", "neck/x": "c"}},
            "lacks neck/y, .* or write 'neck/y:' with nothing",
        ),
        ({"time": {"unit": "s"}}, "time of .* has no key column"),
        (
            {"time": {"column": "t", "unit": "min"}},
            "unit of time of .* is 'min', expected one of s, ms, us, ns, iso8601",
        ),
        ({"time": ...}, "has neither time nor rate_hz"),
        ({"rate_hz": 0}, "rate_hz of .* is 0, expected samples per second above 0"),
        ({"rate_hz": True}, "rate_hz of .* is True"),
        ({"label": {"map": {}}}, "label of .* has no key column"),
        ({"label": {"column": "l", "map": ["a"]}}, r"map of label of .* is \['a'\]"),
        ({"label": {"column": "l", "null": {"a": 1}}}, "null of .*, expected a list of names"),
        ({"subject": {"column": "a", "constant": "b"}}, "subject of .* has 2 keys, expected one of"),
        ({"subject": {"from_filename": "dog"}}, "has 0 groups, expected one around the subject"),
        ({"subject": {"from_filename": "dog("}}, "is not a regular expression"),
        ({"recording": {"columns": None}}, "columns of .* is None, expected a list of names"),
        ({"encoding": "utf9"}, "encoding of .* is 'utf9', which Python does not know"),
        ({"delimiter": "tab"}, "delimiter of .* is 'tab', expected one character"),
        ({"skip_rows": -1}, "skip_rows of .* is -1, expected a whole number"),
        ({"meta": {"subject": "a"}}, "meta of .* has the name 'subject', which is taken"),
        ({"quality": {"label": "a"}}, "quality of .* has the name 'label', which is taken"),
        ({"quality": ["a"]}, r"quality of .* is \['a'\], expected 'name: column in the table'"),
        ({"units": "g"}, "units of .* is 'g', expected a unit for each"),
    ],
)
def test_a_mapping_that_is_off(changes, message):
    with pytest.raises(ConfigError, match=f"E-DATA-017: .*{message}"):
        read_mapping({k: v for k, v in {**MAPPING, **changes}.items() if v is not ...})


def test_a_mapping_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"E-DATA-017: cannot open mapping .*map.yaml .No such file"):
        read_mapping(tmp_path / "map.yaml")
    (tmp_path / "map.yaml").write_text("name: [")
    with pytest.raises(ConfigError, match=r"E-DATA-017: mapping .*map.yaml is not valid YAML"):
        read_mapping(tmp_path / "map.yaml")
    (tmp_path / "map.yaml").write_text("just text")
    with pytest.raises(ConfigError, match=r"E-DATA-017: mapping .*map.yaml holds no keys"):
        read_mapping(tmp_path / "map.yaml")
