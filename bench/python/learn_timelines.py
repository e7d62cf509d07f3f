"""What is learned without labels, or with those of a few people, on a real set: figures of docs/learning.md.

    python bench/python/learn_timelines.py DATASET [--picture FILE]

People are split in two: every other one is learned from, the others are judged. States without names are named after
the label that is commonest in them among the people learned from; the judged have no part in that.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans

import conv2d
from conv2d.data.windows import label_windows, sliding, window_starts
from conv2d.features.statistics import statistic_names, window_statistics
from conv2d.metrics import score_segments
from conv2d.temporal import HMM, HSMM, GaussianEmissions

HOP_S, WINDOW_S = 0.5, 2.0
KNOWN_PEOPLE = 2


class Half:
    """Features and labels of some people's recordings, one after the other."""

    def __init__(self, recordings):
        self.lengths, self.labels, rows = [], [], []
        for recording in recordings:
            width, hop = round(WINDOW_S * recording.rate_hz), round(HOP_S * recording.rate_hz)
            starts = window_starts(recording.time_s, recording.rate_hz, width, hop)
            windows = sliding(recording.samples, starts, width)
            names = statistic_names(recording.channels, recording.sensors)
            table = dict(zip(names, window_statistics(windows, recording.channels).T, strict=True))
            level = [v for n, v in table.items() if n.endswith("/mean") and "acc" in n and "norm" not in n]
            moves = [np.log(v + 1e-3) for n, v in table.items() if n.endswith("/std")]
            pace = [v for n, v in table.items() if n.endswith("acc_norm/dominant_frequency")]
            rows.append(np.stack([*level, *moves, *pace], axis=1))
            self.lengths.append(len(starts))
            self.labels.append(label_windows(recording.labels, starts, width)[0])
        self.X, self.y = np.concatenate(rows).astype(np.float64), np.concatenate(self.labels)
        self.cuts = np.cumsum(self.lengths)[:-1]


def judge(name, seconds, half, predicted):
    seen = half.y >= 0
    scores = score_segments(half.labels, np.split(predicted, half.cuts), 1 / HOP_S)
    changes = sum(int((np.diff(part) != 0).sum()) for part in np.split(predicted, half.cuts))
    accuracy = (predicted == half.y)[seen].mean()
    print(f"| {name} | {accuracy:.3f} | {scores.f1_50:.3f} | {scores.edit:.3f} | {changes} | {seconds:.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--states", type=int, default=8)
    # Neighbouring windows share three quarters of their samples and err together.
    parser.add_argument("--weight", type=float, default=0.1)
    parser.add_argument("--max-duration", type=float, default=40.0)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    data = conv2d.Dataset.open(given.dataset)
    recordings = list(data.load_all())
    people = sorted({recording.subject for recording in recordings})
    learned_from = people[::2]
    learn = Half([r for r in recordings if r.subject in learned_from])
    test = Half([r for r in recordings if r.subject not in learned_from])
    mean, sd = learn.X.mean(axis=0), learn.X.std(axis=0)
    learn.X, test.X = (learn.X - mean) / sd, (test.X - mean) / sd
    n_classes = len(recordings[0].classes)
    majority = int(np.bincount(learn.y[learn.y >= 0]).argmax())
    print(
        f"{len(learn.X)} windows of {len(learned_from)} people, judged on {len(test.X)} of "
        f"{len(people) - len(learned_from)}"
    )
    print("| model | accuracy | segment F1 | edit | changes | s |\n|---|---|---|---|---|---|")
    judge("commonest label", 0.0, test, np.full(len(test.X), majority))

    def named(states, of):
        counts = np.zeros((given.states, n_classes))
        np.add.at(counts, (states[learn.y >= 0], learn.y[learn.y >= 0]), 1)
        return counts.argmax(axis=1)[of]

    start = time.perf_counter()
    groups = KMeans(given.states, n_init=6, random_state=0).fit(learn.X)
    judge("k-means", time.perf_counter() - start, test, named(groups.labels_, groups.predict(test.X)))
    models, emissions = {}, GaussianEmissions(prior_frames=10, weight=given.weight)
    for kind in (HMM, HSMM):
        options = {"max_duration_s": given.max_duration} if kind is HSMM else {}
        start = time.perf_counter()
        model = kind(given.states, HOP_S, emission_model=emissions, n_init=6, **options)
        model.fit(learn.X, learn.lengths)
        seconds = time.perf_counter() - start
        judge(f"{kind.__name__} without labels", seconds, test,
              named(model.predict(learn.X, learn.lengths), model.predict(test.X, test.lengths)))  # fmt: skip
        models[kind.__name__] = model

    known = [r.subject in learned_from[:KNOWN_PEOPLE] for r in recordings if r.subject in learned_from]
    few = np.where(np.repeat(known, learn.lengths), learn.y, -1)
    print(f"\nlabels of {KNOWN_PEOPLE} people ({(few >= 0).sum()} windows)")
    print("| model | accuracy | segment F1 | edit | changes | s |\n|---|---|---|---|---|---|")
    for name, X, lengths, labels in [
        ("HSMM, these people alone", learn.X[np.repeat(known, learn.lengths)],
         [n for n, k in zip(learn.lengths, known, strict=True) if k], few[np.repeat(known, learn.lengths)]),
        ("HSMM, and all the others without labels", learn.X, learn.lengths, few),
    ]:  # fmt: skip
        start = time.perf_counter()
        model = HSMM(n_classes, HOP_S, emission_model=emissions, max_duration_s=given.max_duration)
        model.fit(X, lengths, labels)
        judge(name, time.perf_counter() - start, test, model.predict(test.X, test.lengths))
    if given.picture is not None:
        picture(given.picture, models["HSMM"], test, recordings[0].classes)


def picture(path, model, half, classes):
    from conv2d.viz.style import class_colours, figure_style, new_figure

    n = half.lengths[0]
    states = model.predict(half.X[:n])
    with figure_style():
        figure = new_figure(None, (10.0, 2.4))
        above, below = figure.subplots(2, 1, sharex=True)
        for axes, labels, names, title in (
            (above, half.labels[0], [*classes], "annotated"),
            (below, states, [f"state {k}" for k in range(model.n_states)], "learned without labels"),
        ):
            colours = class_colours(len(names))
            edges = np.flatnonzero(np.diff(labels)) + 1
            for a, b in zip([0, *edges], [*edges, n], strict=True):
                if labels[a] >= 0:
                    axes.axvspan(a * HOP_S, b * HOP_S, color=colours[labels[a]], lw=0)
            axes.set_yticks([])
            axes.set_title(title, loc="left", fontsize=9)
        below.set_xlabel("seconds")
        figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
