"""Windows whose tie to the label is known, without files."""

import datetime as dt

import numpy as np
import pytest

from conv2d.data.leaks.table import WindowTable
from conv2d.data.meta import RecordingRow


def build_table(
    recordings,
    *,
    n_classes=None,
    missing=None,
    starts=None,
    means=None,
    quality=None,
    columns=None,
    target="label",
):
    """A table of recordings [(subject, labels)], one window of 2 s a label; all else by window or recording."""
    recordings = [(subject, np.asarray(labels, np.int64)) for subject, labels in recordings]
    assert [subject for subject, _ in recordings] == sorted(subject for subject, _ in recordings)
    lengths = [len(labels) for _, labels in recordings]
    n = sum(lengths)
    index = np.concatenate([np.arange(length) for length in lengths])
    whole = np.repeat(lengths, lengths)
    subjects = sorted({subject for subject, _ in recordings})
    label = np.concatenate([labels for _, labels in recordings])
    missing = np.zeros((n, 2), bool) if missing is None else np.asarray(missing, bool)
    rows = []
    for r, (subject, labels) in enumerate(recordings):
        meta = {"recording": f"r{r:03d}", "subject": subject, **{k: v[r] for k, v in (columns or {}).items()}}
        if starts is not None:
            meta["start"] = starts[r].isoformat() if starts[r] else "unknown"
        rows.append(RecordingRow(f"r{r:03d}", subject, 100 * len(labels), 50.0, meta))
    return WindowTable(
        target=target,
        classes=tuple("abcdefghijklmnop"[: n_classes or int(label.max()) + 1]),
        subjects=tuple(subjects),
        rows=tuple(rows),
        subject_of=np.array([subjects.index(subject) for subject, _ in recordings]),
        recording=np.repeat(np.arange(len(recordings)), lengths),
        label=label,
        share=(index + 0.5) / whole,
        from_start_s=2.0 * index + 1,
        from_end_s=2.0 * (whole - index) - 1,
        missing=missing,
        missing_share=missing.mean(axis=1),
        means=np.zeros((n, 2)) if means is None else np.asarray(means, float),
        columns=("back/acc_x", "neck/acc_x"),
        quality=np.empty((n, 0)) if quality is None else np.asarray(quality, float)[:, None],
        quality_columns=() if quality is None else ("gap_ms",),
        start=tuple(starts) if starts is not None else (None,) * len(recordings),
        runs=tuple(labels[np.concatenate([[True], labels[1:] != labels[:-1]])] for _, labels in recordings),
    )


def draw_runs(rng, n, shares, longest=12):
    """Labels (n,) in runs of random length, each of a class drawn by shares."""
    labels = []
    while len(labels) < n:
        labels += [int(rng.choice(len(shares), p=shares))] * int(rng.integers(1, longest))
    return np.array(labels[:n])


def build_random(seed, *, subjects=6, each=3, windows=40, n_classes=4, one_label=False):
    """Subjects with mixtures and inputs of their own, labels and inputs independent of each other."""
    rng = np.random.default_rng(seed)
    recordings, starts, dead, places = [], [], [], []
    for s in range(subjects):
        shares = rng.dirichlet(np.full(n_classes, 1.0))
        clock = dt.datetime(2024, 5, int(rng.integers(1, 4)), 8)
        for _ in range(each):
            n = int(rng.integers(windows // 2, 2 * windows))
            one = np.full(n, rng.choice(n_classes, p=shares))
            recordings.append((f"s{s:02d}", one if one_label else draw_runs(rng, n, shares)))
            clock += dt.timedelta(minutes=int(rng.integers(10, 200)))
            starts.append(clock)
            dead.append(bool(rng.random() < 0.3))
            places.append(str(rng.choice(["barn", "field", "yard"])))
    lengths = [len(labels) for _, labels in recordings]
    n = sum(lengths)
    missing = np.zeros((n, 2), bool)
    missing[:, 1] = np.repeat(dead, lengths)
    own = np.repeat(rng.normal(size=(len(recordings), 2)), lengths, axis=0)
    return build_table(
        recordings,
        n_classes=n_classes,
        missing=missing,
        starts=starts,
        means=own + 0.1 * np.cumsum(rng.normal(size=(n, 2)), axis=0),
        quality=rng.normal(size=n),
        columns={"place": places},
    )


@pytest.fixture
def table_of():
    """`build_table`."""
    return build_table


@pytest.fixture
def random_table():
    """`build_random`."""
    return build_random


@pytest.fixture
def label_runs():
    """`draw_runs`."""
    return draw_runs
