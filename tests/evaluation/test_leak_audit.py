"""The audit catches every leak that is planted, and leaves clean data alone."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.errors import DataError, GateFailed, UsageError
from conv2d.evaluation import leak_audit
from conv2d.evaluation.leak_audit import (
    CHECKS,
    FALSE_ALARM,
    LeakAudit,
    Relabelled,
    audit_leaks,
    audit_split,
    exchanged_labels,
)


@dataclass(frozen=True)
class Split:
    """A clean split of simulated subjects; everything that audit_leaks takes."""

    train_subjects: set[str]
    test_subjects: set[str]
    fitted: dict[str, set[str]]
    X_train: np.ndarray
    y_train: np.ndarray
    groups_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    groups_test: np.ndarray

    def audit(self, **options) -> LeakAudit:
        return audit_leaks(**vars(self), **options)


def clean(
    seed: int, *, shares: tuple[float, ...] = (0.5, 0.35, 0.15), windows: int = 30, strength: float = 1.5
) -> Split:
    """Eight subjects with their own offsets and class mixtures; classes differ strongly, and rare ones are extreme."""
    rng = np.random.default_rng(seed)
    X, y, who = [], [], []
    for subject in range(8):
        mixture = rng.dirichlet(6 * np.array(shares))
        label = rng.choice(len(shares), windows, p=mixture)
        size = 0.5 + strength * label[:, None, None, None] ** 1.5
        X.append(rng.normal(size=(windows, 3, 1, 24)) * size + rng.normal(size=(3, 1, 1)))
        y.append(label)
        who.append(np.full(windows, f"s{subject}"))
    X, y, who = np.concatenate(X).astype(np.float32), np.concatenate(y), np.concatenate(who)
    test = np.isin(who, ["s2", "s5"])
    seen = set(who[~test].tolist())
    return Split(
        seen,
        {"s2", "s5"},
        {"normaliser": seen, "hsmm": seen},
        X[~test],
        y[~test],
        who[~test],
        X[test],
        y[test],
        who[test],
    )


def test_clean_data_passes_with_figures() -> None:
    audit = clean(0).audit()
    assert audit.passed
    assert audit.findings == []
    assert audit.notes == []
    assert audit.figures["chance"] == pytest.approx(1 / 3)
    assert audit.figures["cheap_model_balanced_accuracy"] > 0.6, "the true labels can be learned"
    assert abs(audit.figures["permuted_balanced_accuracy"] - 1 / 3) < 0.1
    assert audit.figures["windows_with_copies"] == audit.figures["identical_windows"] == 0
    audit.raise_if_failed()
    assert audit.to_dict()["passed"] is True


def test_a_subject_on_both_sides_is_found() -> None:
    split = clean(1)
    audit = replace(split, train_subjects=split.train_subjects | {"s5"}).audit()
    assert [finding[:11] for finding in audit.findings] == ["E-LEAK-001:"]
    assert "subject s5 on both sides of the split" in audit.findings[0]
    with pytest.raises(GateFailed, match="the leak audit failed: E-LEAK-001: subject s5 on both sides"):
        audit.raise_if_failed()


def test_windows_that_strayed_to_the_other_side_are_found() -> None:
    split = clean(2)
    groups = split.groups_train.copy()
    groups[:3] = "s2"
    audit = replace(split, groups_train=groups).audit()
    assert [finding[:11] for finding in audit.findings] == ["E-LEAK-002:"]
    assert "subject s2" in audit.findings[0]


def test_anything_fitted_on_test_subjects_is_found_and_named() -> None:
    split = clean(3)
    fitted = split.fitted | {"normaliser": {"s0", "s2", "s5"}, "temperature": {"s5"}}
    findings = replace(split, fitted=fitted).audit().findings
    assert len(findings) == 2
    assert "normaliser was fitted on the test subjects s2, s5" in findings[0]
    assert "temperature was fitted on the test subject s5" in findings[1]


def test_a_recording_under_a_second_name_is_found_at_any_offset() -> None:
    split = clean(4)
    stream = np.random.default_rng(0).normal(size=(3, 1, 400)).astype(np.float32)
    X_train, X_test = split.X_train.copy(), split.X_test.copy()
    X_train[:10] = [stream[..., 24 * i : 24 * i + 24] for i in range(10)]
    X_test[:8] = [stream[..., 24 * i + 5 : 24 * i + 29] for i in range(8)]
    audit = replace(split, X_train=X_train, X_test=X_test).audit()
    assert [finding[:11] for finding in audit.findings] == ["E-LEAK-004:"]
    assert audit.figures["windows_with_copies"] == 8
    assert audit.figures["identical_windows"] == 0
    audit = replace(split, X_train=X_train, X_test=np.concatenate([X_train[:4], X_test[4:]])).audit()
    assert audit.figures["identical_windows"] == 4


def test_a_few_copies_are_noted_and_do_not_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    split = clean(5)
    X_test = split.X_test.copy()
    X_test[0] = split.X_train[7]
    monkeypatch.setattr(leak_audit, "COPY_TOLERANCE", 0.05)
    audit = replace(split, X_test=X_test).audit()
    assert audit.passed
    assert "1 of 60 test windows (subject s2) hold 16 consecutive samples" in audit.notes[0]


def nearest(points: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    distance = ((queries[:, None] - points[None]) ** 2).sum(axis=2)
    return labels[distance.argmin(axis=1)]


def test_a_pipeline_that_reaches_test_labels_is_found() -> None:
    split = clean(6)
    spread = lambda X: np.log(X.std(axis=(2, 3)))  # noqa: E731
    train, test = spread(split.X_train), spread(split.X_test)

    def honest(labels: np.ndarray) -> np.ndarray:
        return nearest(train, labels, test)

    def peeking(labels: np.ndarray) -> np.ndarray:
        # A tenth of the test side slipped into the training, with its labels.
        slipped = slice(None, None, 10)
        return nearest(np.concatenate([train, test[slipped]]), np.concatenate([labels, split.y_test[slipped]]), test)

    assert split.audit(refit=honest).passed
    audit = split.audit(refit=peeking)
    assert [finding[:11] for finding in audit.findings] == ["E-LEAK-005:"]
    assert audit.figures["permuted_p_value"] < FALSE_ALARM
    assert split.audit(refit=lambda labels: split.y_test).figures["permuted_balanced_accuracy"] == 1


def test_false_alarms_are_as_rare_as_promised() -> None:
    # Strong classes, subjects of their own, unequal shares, rare classes with extreme windows: all that bends the plain
    # comparison with 1/K. Under the null the p values are uniform; at 5 % of 120 trials more than 15 has a probability
    # below 0.1 %.
    p = []
    for seed in range(120):
        shares = ((0.9, 0.1), (0.5, 0.35, 0.15), (0.7, 0.1, 0.1, 0.05, 0.05))[seed % 3]
        p.append(clean(seed, shares=shares, windows=16).audit(seed=seed).figures["permuted_p_value"])
    assert sum(value < 0.05 for value in p) <= 15
    assert min(p) >= FALSE_ALARM
    assert sum(value < 0.5 for value in p) >= 30, "nor is the test so shy that it never could fail"


def test_plain_permutation_would_have_raised_a_false_alarm() -> None:
    # Why the class names are permuted too: the common class looks ordinary, the rare one extreme.
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.3).astype(int)
    X = (rng.normal(size=(400, 3, 1, 24)) * np.where(y == 1, 6.0, 0.3)[:, None, None, None]).astype(np.float32)
    who = np.where(np.arange(400) < 300, "a", "b")
    split = Split({"a"}, {"b"}, {"n": {"a"}}, X[:300], y[:300], who[:300], X[300:], y[300:], who[300:])
    model = leak_audit._RidgeOnStatistics(X[:300], X[300:], np.array([0, 1]))
    plain = model.predict(np.stack([rng.permutation(y[:300]) for _ in range(300)]))
    reached = np.array([leak_audit._balanced_accuracy(y[300:], row) for row in plain])
    assert reached.mean() - 0.5 > 5 * reached.std() / np.sqrt(300)
    assert split.audit(permutations=300).passed


def test_same_seed_same_audit() -> None:
    split = clean(7)
    assert split.audit(seed=3) == split.audit(seed=3)
    assert split.audit(seed=3).figures != split.audit(seed=4).figures


def test_unlabelled_missing_and_unseen_are_taken() -> None:
    split = clean(8)
    y_train, y_test, X_train = split.y_train.copy(), split.y_test.copy(), split.X_train.copy()
    y_train[y_train == 2] = -1
    y_train[:5] = -1
    y_test[:5] = -1
    X_train[::3, 0] = np.nan
    audit = replace(split, X_train=X_train, y_train=y_train, y_test=y_test).audit()
    assert audit.passed
    assert audit.figures["chance"] == 0.5
    assert any("test windows are of classes that no training window has" in note for note in audit.notes)
    assert replace(split, fitted={}).audit().notes == [
        "nothing fitted was declared, so what fitted things saw was not looked at"
    ]


def test_what_cannot_be_audited_is_said() -> None:
    split = clean(9)
    with pytest.raises(UsageError, match="E-LEAK-101: got permutations=5"):
        split.audit(permutations=5)
    with pytest.raises(DataError, match="E-LEAK-102: the test side has 60 windows, 3 labels and 60 subjects"):
        replace(split, y_test=split.y_test[:3]).audit()
    with pytest.raises(DataError, match="E-LEAK-103: the training side has no labelled window"):
        replace(split, y_train=np.full(180, -1)).audit()
    with pytest.raises(DataError, match="E-LEAK-104: the training side holds 1 class, expected at least 2"):
        replace(split, y_train=np.zeros(180, int)).audit()
    with pytest.raises(UsageError, match="E-LEAK-105"):
        split.audit(refit=lambda labels: labels)
    with pytest.raises(UsageError, match="E-LEAK-106: got 1 classes"):
        exchanged_labels([0, 0], n_classes=1, seed=0)


def test_a_check_that_was_not_made_is_not_passed() -> None:
    split = clean(10)
    assert split.audit().checked == ("subjects", "fitted", "copies", "permuted_labels")
    assert split.audit().to_dict()["not_measured"] == ["test_labels"]
    assert split.audit(relabelled=same_again(split)).checked == tuple(CHECKS)
    assert replace(split, fitted={}).audit().to_dict()["not_measured"] == ["fitted", "test_labels"]
    # nothing was compared
    nothing = replace(same_again(split), X_test=split.X_test[:0], which=np.empty(0, np.int64))
    assert "test_labels" in split.audit(relabelled=nothing).to_dict()["not_measured"]


def test_test_windows_of_unknown_classes_alone_leave_the_permutation_test_out() -> None:
    split = clean(11)
    audit = replace(split, y_test=np.full(60, 7)).audit()
    assert audit.passed
    assert audit.figures["permuted_p_value"] == audit.figures["permuted_balanced_accuracy"] == "NOT_MEASURED"
    assert audit.notes == ["no permutation test: all 60 test windows are of classes that no training window has"]
    assert "permuted_labels" in audit.to_dict()["not_measured"]


def test_the_audit_before_training_finds_subjects_and_copies() -> None:
    split = clean(12)
    sides = {name: value for name, value in vars(split).items() if name != "fitted"}
    assert audit_split(**sides).to_dict()["checked"] == ["subjects", "copies"]
    assert audit_split(**sides).passed
    copied = audit_split(**sides | {"X_test": np.concatenate([split.X_train[:5], split.X_test[5:]])})
    both = audit_split(**sides | {"train_subjects": split.train_subjects | {"s5"}})
    assert [finding[:10] for finding in copied.findings + both.findings] == ["E-LEAK-004", "E-LEAK-001"]


def same_again(split: Split) -> Relabelled:
    """A path that does not read the labels of the test side."""
    return Relabelled(split.X_train, split.y_train, split.X_test[::-1], np.arange(len(split.X_test))[::-1])


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("X_train", "1 training windows, 0 training labels and 0 test windows came out different"),
        ("y_train", "0 training windows, 1 training labels and 0 test windows"),
        ("X_test", "0 training windows, 0 training labels and 1 test windows"),
    ],
)
def test_one_bit_that_follows_the_labels_of_the_test_side_is_found(which: str, message: str) -> None:
    split = clean(13)
    split.X_train[4, 0, 0, 3] = np.nan  # missing both times, which is no difference
    once_more = same_again(split)
    assert split.audit(relabelled=once_more).passed
    array = getattr(once_more, which).copy()
    array[(5,) + (0,) * (array.ndim - 1)] += 1
    audit = split.audit(relabelled=replace(once_more, **{which: array}))
    assert [finding[:11] for finding in audit.findings] == ["E-LEAK-006:"]
    assert message in audit.findings[0]


def test_a_slipped_window_is_found_though_its_permuted_figures_are_at_chance() -> None:
    # What the permutation test without refit cannot see: its labels are permuted after the windows are finished.
    split = clean(14)
    slipped = replace(
        split,
        X_train=np.concatenate([split.X_train, split.X_test[:30] * np.float32(1.01)]),
        y_train=np.concatenate([split.y_train, split.y_test[:30]]),
        groups_train=np.concatenate([split.groups_train, np.full(30, "s0")]),
    )
    assert slipped.audit().passed
    other = np.concatenate([split.y_train, (split.y_test[:30] + 1) % 3])
    audit = slipped.audit(relabelled=replace(same_again(split), X_train=slipped.X_train, y_train=other))
    assert [finding[:11] for finding in audit.findings] == ["E-LEAK-006:"]
    assert "30 training labels" in audit.findings[0]


@given(labels=st.lists(st.integers(-1, 2), max_size=60), n_classes=st.integers(3, 5), seed=st.integers(0, 10**6))
def test_exchanged_labels_are_others_at_the_same_places(labels: list[int], n_classes: int, seed: int) -> None:
    old = np.array(labels, np.int64)
    new = exchanged_labels(old, n_classes, seed)
    assert ((new >= 0) == (old >= 0)).all()
    assert new.max(initial=0) < n_classes
    assert (new != old).any() == (old >= 0).any()
    assert (new == exchanged_labels(old, n_classes, seed)).all()
    changes = np.flatnonzero(old[1:] == old[:-1])
    assert (new[changes] == new[changes + 1]).all(), "a segment stays one"


def test_exchanged_labels_also_change_which_stretches_share_one() -> None:
    old = np.repeat(np.tile([0, 1], 20), 5)
    new = exchanged_labels(old, 2, seed=0)
    assert len(np.unique(new[old == 0])) == 2
