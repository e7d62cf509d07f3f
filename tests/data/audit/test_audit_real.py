"""On the real sets the audit finds by itself what is known of them, and what was found on the way."""

import functools

import pytest

from conv2d.data.audit import audit_dataset

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def audits(shared_data):
    return functools.cache(lambda name: audit_dataset(shared_data / name))


def of(audit, check, **evidence):
    """The findings of a check whose evidence has these values."""
    return [
        f for f in audit.findings
        if f.check == check and f.status == "FOUND" and all(f.evidence.get(k) == v for k, v in evidence.items())
    ]  # fmt: skip


def serious(audit):
    return {(f.level, f.check) for f in audit.findings if f.level in ("fault", "confound")}


def test_cow_a_sensor_whose_accelerations_are_too_large_for_a_day(audits):
    (finding,) = of(audits("cow_imu2x9"), "scale")
    assert finding.level == "fault"
    assert len(finding.recordings) == 17
    assert finding.evidence["where"] == ["cow1319 2024-05-17"]
    assert finding.evidence["vector"] == "mpu9250/acc"
    assert finding.evidence["factor"] == pytest.approx(7.6, abs=0.15)
    assert finding.evidence["ratio_to_other_sensors"]["bno055/acc"] == pytest.approx(7.93, abs=0.05)


def test_cow_the_flag_of_that_is_wrong_for_one_recording(audits):
    (finding,) = of(audits("cow_imu2x9"), "flag_columns", column="mpu_acc_scale_suspect")
    assert (finding.evidence["flagged"], finding.evidence["confirmed"]) == (18, 17)
    assert finding.evidence["refuted"] == ["bout491"]


def test_cow_rows_that_stand_in_an_earlier_bout(audits):
    audit = audits("cow_imu2x9")
    (finding,) = of(audit, "doubled_between")
    assert (finding.evidence["rows_seen_earlier"], finding.evidence["recordings_seen_earlier"]) == (603, 63)
    assert (finding.evidence["rows_both_ways"], finding.evidence["recordings_both_ways"]) == (1205, 114)
    assert finding.evidence["pairs_across_subjects"] == 0
    (flag,) = of(audit, "flag_columns", column="overlap_prev_rows")
    assert flag.evidence["differ"] == []
    (label,) = of(audit, "doubled_label")
    assert label.evidence["rows"] == 288
    assert label.evidence["by_labels"]["Grazing / Walking"] == 154
    assert of(audit, "overlap_in_time")


def test_cow_axes_that_point_in_opposite_directions(audits):
    audit = audits("cow_imu2x9")
    (gyr,) = of(audit, "axes_between_sensors", kind="gyr")
    assert (gyr.evidence["axes"], gyr.evidence["accelerometers"]) == ("-x -y +z", "+x +y +z")
    assert gyr.evidence["culprit"] == ["mpu9250"]
    assert gyr.evidence["correlation"].diagonal().tolist() == pytest.approx([-0.99, -0.99, 0.99], abs=0.01)
    (mag,) = of(audit, "axes_between_sensors", kind="mag")
    assert mag.evidence["axes"] == "-y -x -z"
    (frame,) = of(audit, "gyr_against_acc")
    assert (frame.evidence["sensor"], frame.evidence["axes"]) == ("mpu9250", "-x -y +z")


def test_cow_classes(audits):
    audit = audits("cow_imu2x9")
    (tied,) = of(audit, "tied_classes")
    assert tied.evidence["classes"] == ["ActiveMount", "HeadNodding"]
    assert tied.evidence["subjects"] == ["cow2321", "cow3819", "cow3919"]
    (rare,) = of(audit, "rare_classes")
    assert rare.evidence["bouts"] == {"Trotting": 1, "Drinking": 2, "LyingDown": 3, "Scratching": 5}
    (short,) = of(audit, "short_recordings")
    assert len(short.recordings) == 145
    (classes,) = of(audit, "short_classes")
    assert set(classes.evidence["no_window"]) == {"LyingDown", "Rising", "Trotting", "Shaking", "Drinking"}
    assert of(audit, "one_label")
    assert {f.evidence["column"] for f in of(audit, "tied_columns")} == {"source", "date (of start)"}


def test_cow_nothing_else_is_held_against_it(audits):
    assert serious(audits("cow_imu2x9")) == {
        ("fault", "scale"), ("fault", "doubled_between"), ("fault", "doubled_label"), ("fault", "gyr_against_acc"),
        ("fault", "axes_between_sensors"), ("confound", "overlap_in_time"), ("confound", "tied_classes"),
        ("confound", "tied_columns"), ("confound", "one_label"), ("confound", "flag_columns"),
    }  # fmt: skip


def test_sp_sw_har_samples_that_were_drawn_over_gaps_of_the_phone(audits):
    audit = audits("sp_sw_har")
    (column,) = of(audit, "quality_column")
    assert column.evidence["share"] == pytest.approx(0.0447, abs=1e-4)
    assert (column.evidence["largest_ms"], len(column.recordings)) == (188, 150)
    (phone,) = of(audit, "interpolated", sensor="phone")
    assert phone.level == "fault"
    assert phone.evidence["share"] == pytest.approx(0.0328, abs=1e-4)
    agreement = phone.evidence["against_columns"]["gap_ms"]
    assert agreement["precision"] > 0.9
    assert agreement["recall"] > 0.6
    (watch,) = of(audit, "interpolated", sensor="watch")
    assert watch.level == "note"
    assert watch.evidence["share"] < 1e-4


def test_sp_sw_har_script_short_runs_and_orientation(audits):
    audit = audits("sp_sw_har")
    (short,) = of(audit, "short_runs")
    assert short.evidence["by_class"]["WALKING"] == 22
    (script,) = of(audit, "scripted")
    assert script.evidence["same_order"] == 121
    assert script.evidence["position_balanced_accuracy"] == pytest.approx(0.77, abs=0.02)
    (worn,) = of(audit, "orientation")
    assert (worn.evidence["sensor"], worn.evidence["column"]) == ("phone", "orientation")
    assert sorted(worn.evidence["recordings"].tolist()) == [74, 79]
    assert serious(audit) == {
        ("fault", "interpolated"), ("fault", "quality_column"), ("fault", "short_runs"), ("confound", "scripted"),
        ("confound", "orientation"),
    }  # fmt: skip


def test_hapt(audits):
    audit = audits("hapt")
    (unlabelled,) = of(audit, "unlabelled")
    assert unlabelled.evidence["labelled"] == pytest.approx(0.725, abs=0.001)
    (short,) = of(audit, "short_classes")
    assert len(short.evidence["median_s"]) == 6
    assert min(short.evidence["median_s"].values()) == pytest.approx(2.57, abs=0.01)
    assert max(short.evidence["median_s"].values()) == pytest.approx(4.70, abs=0.01)
    (calibration,) = of(audit, "calibration")
    assert calibration.evidence["before_mg"] == pytest.approx(20.4, abs=0.2)
    assert calibration.evidence["after_mg"] < 5
    (held,) = of(audit, "doubled_within")
    assert (held.level, held.evidence["rows"]) == ("note", 545)
    (cut,) = of(audit, "saturated")
    assert {rail["column"] for rail in cut.evidence["rails"]} == {"waist/gyr_y", "waist/gyr_z"}
    (script,) = of(audit, "scripted")
    assert script.evidence["same_order"] == 37
    assert serious(audit) == {("confound", "scripted")}
