"""Labels against their signal, run by run.

Two rules. A run *contradicts* its label when how much it moves and how much it turns, in every sensor at once, are many
robust standard deviations off what its class does, to the same side. A run is a *candidate* when a small model that was
learnt on other subjects (shrunken linear discriminants, with a temperature fitted on its own out-of-fold errors) gives
the label next to nothing and another one nearly all (as in confident learning, Northcutt et al. 2021). Good data have
some of these, so they are listed and called nothing more.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream

RUN_S = 1.0
SURE, SURE_MEAN, SURE_FACTOR = 3.0, 4.5, 3.0
"""Robust standard deviations of movement and of turning in each sensor, their root mean square over them, and times as
much or as little. Of 2,100 runs of four good sets the farthest had 2.9, 3.7 and 7.8."""

RUNS = 8
GIVEN, OTHER = 0.02, 0.9
CLASS_SUBJECTS = 3
SHRINKAGE = 0.1
LISTED = 0.01
_FLOOR = 0.15  # logarithm; a class of runs that are all alike is not to make a small difference large
_TEMPERATURES = np.geomspace(0.5, 20, 40)


class Run(NamedTuple):
    """One run of a label that lasts."""

    recording: str
    subject: str
    label: int
    start_s: float
    end_s: float


class Contradictions:
    """A few numbers of each run; O(samples) once."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._runs: list[Run] = []
        self._activity: list[NDArray[np.float64]] = []
        self._features: list[NDArray[np.float64]] = []
        self._acc = setting.of_kind("acc")
        self._gyr = setting.of_kind("gyr")

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        rate = self.setting.rate_hz
        runs = stream.runs()
        for label, start, end in zip(*runs, strict=True):
            if label < 0 or end - start < max(RUN_S * rate, 5):
                continue
            part = stream.samples[:, :, start:end]
            self._runs.append(Run(stream.name, stream.subject, int(label), start / rate, end / rate))
            self._activity.append(self._how_active(part))
            self._features.append(_channel_features(part))

    def _how_active(self, part: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logarithms of the mean movement of each accelerometer and the mean turning of each gyroscope."""
        values = []
        for vector in (*self._acc, *self._gyr):
            x = part[list(vector.axes), vector.place].astype(np.float64)
            x = x[:, np.isfinite(x).all(axis=0)]
            if x.shape[1] < 5:
                values.append(np.nan)
                continue
            if vector.kind == "acc":
                x = x - x.mean(axis=1, keepdims=True)
            values.append(np.log(np.linalg.norm(x, axis=0).mean() + 1e-9))
        return np.array(values)

    def findings(self) -> Iterator[Finding]:
        """Runs that contradict their label, and candidates."""
        if not self._runs:
            for check in ("contradiction", "contradiction_candidates"):
                yield not_applicable(check, f"no run of a label lasts {RUN_S:g} s")
            return
        yield from self._contradictions()
        yield from self._candidates()

    def _contradictions(self) -> Iterator[Finding]:
        if not self._acc and not self._gyr:
            yield not_applicable("contradiction", "the set has neither accelerometer nor gyroscope with three axes")
            return
        activity = np.stack(self._activity)
        labels = np.array([run.label for run in self._runs])
        levels = {}
        for c in np.unique(labels):
            rows = activity[labels == c]
            if np.isfinite(rows).all(axis=1).sum() >= RUNS:
                centre = np.nanmedian(rows, axis=0)
                levels[int(c)] = centre, 1.4826 * np.nanmedian(np.abs(rows - centre), axis=0) + _FLOOR
        if not levels:
            yield not_measured("contradiction", f"no class has {RUNS} runs of {RUN_S:g} s")
            return
        found: list[dict[str, Any]] = []
        for run, row in zip(self._runs, activity, strict=True):
            known = np.isfinite(row)
            if run.label not in levels or not known.any():
                continue
            centre, spread = levels[run.label]
            z = ((row - centre) / spread)[known]
            factor = float(np.exp(np.abs(row - centre)[known].min()))
            sure = np.abs(z).min() > SURE and np.sqrt((z**2).mean()) > SURE_MEAN and factor > SURE_FACTOR
            if (
                sure
                and ((z > 0).all() or (z < 0).all())
                and self._nearest(row, levels, known) != self._class(run.label)
            ):
                found.append(
                    {"recording": run.recording, "start_s": run.start_s, "end_s": run.end_s,
                     "label": self._class(run.label), "deviations": float(z[np.abs(z).argmin()]), "factor": factor,
                     "looks_like": self._nearest(row, levels, known)}
                )  # fmt: skip
        if not found:
            return
        first = max(found, key=lambda entry: abs(entry["deviations"]))
        yield Finding(
            "contradiction", "fault",
            f"{counted(len(found), 'run')} of a label {'does' if len(found) == 1 else 'do'} not move like it: "
            f"{first['label']} in {first['recording']} at {first['start_s']:.1f} to {first['end_s']:.1f} s moves and "
            f"turns {first['factor']:.1f} times {'more' if first['deviations'] > 0 else 'less'} than {first['label']} "
            f"does, like {first['looks_like']}",
            "training learns the wrong thing from it, and as test it counts against who is right",
            "look at it (conv2d view or the figure of the recording) and correct the label, or leave it unlabelled",
            {"runs": found, "of": len(self._runs), "threshold_deviations": SURE, "threshold_mean": SURE_MEAN,
             "threshold_factor": SURE_FACTOR},
            tuple(dict.fromkeys(entry["recording"] for entry in found)),
        )  # fmt: skip

    def _nearest(self, row: NDArray[np.float64], levels: dict[int, Any], known: NDArray[np.bool_]) -> str:
        distance = {c: float(np.linalg.norm(((row - m) / s)[known])) for c, (m, s) in levels.items()}
        return self._class(min(distance, key=lambda c: distance[c]))

    def _class(self, label: int) -> str:
        return self.setting.meta.classes[label]

    def _candidates(self) -> Iterator[Finding]:
        features = np.stack(self._features)
        labels = np.array([run.label for run in self._runs])
        subjects = np.array([run.subject for run in self._runs])
        usable = np.isfinite(features).mean(axis=0) > 0.5
        features = features[:, usable]
        good = np.isfinite(features).all(axis=1)
        wide = [c for c in np.unique(labels) if len(set(subjects[good & (labels == c)])) >= CLASS_SUBJECTS]
        good &= np.isin(labels, wide)
        if len(wide) < 2 or not features.shape[1] or good.sum() < RUNS * len(wide):
            yield not_measured(
                "contradiction_candidates", f"fewer than two classes with runs of {CLASS_SUBJECTS} subjects"
            )
            return
        rows = np.flatnonzero(good)
        y = np.searchsorted(wide, labels[rows])
        scores = out_of_fold(features[rows], y, subjects[rows], len(wide))
        losses = [float(-_log_softmax(scores / t)[np.arange(len(y)), y].mean()) for t in _TEMPERATURES]
        temperature = float(_TEMPERATURES[int(np.argmin(losses))])
        p = np.exp(_log_softmax(scores / temperature))
        given, best = p[np.arange(len(y)), y], p.max(axis=1)
        found = np.flatnonzero((given < GIVEN) & (best > OTHER))
        # What would be so found were every label right and every probability true.
        expected = float(np.where((p < GIVEN) & (best[:, None] > OTHER), p, 0).sum())
        if not len(found):
            return
        order = found[np.argsort(given[found])][: max(5, int(LISTED * len(rows)))]
        listed = [
            {"recording": run.recording, "start_s": run.start_s, "end_s": run.end_s, "label": self._class(run.label),
             "looks_like": self._class(int(wide[int(p[i].argmax())])), "p_label": float(given[i])}
            for i in order for run in [self._runs[rows[i]]]
        ]  # fmt: skip
        yield Finding(
            "contradiction_candidates", "note",
            f"{counted(len(found), 'run')} of {len(rows):,} {'is' if len(found) == 1 else 'are'} hardly believed by a "
            f"small model learnt on other subjects (by its own account {expected:.1f} are right labels)",
            "places to look at, not errors: rare behaviour looks the same, and good data have some of these",
            "look at the runs listed before changing a label",
            {"found": len(found), "expected": expected, "runs": listed,
             "temperature": temperature, "accuracy": float((p.argmax(axis=1) == y).mean()), "of": len(rows),
             "threshold_label": GIVEN, "threshold_other": OTHER},
            tuple(dict.fromkeys(entry["recording"] for entry in listed)),
        )  # fmt: skip


def _channel_features(part: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean, log standard deviation and log mean step of each channel; NaN for one that has hardly a value."""
    flat = part.reshape(-1, part.shape[2]).astype(np.float64)
    known = np.isfinite(flat)
    count = known.sum(axis=1)
    values = np.where(known, flat, 0.0)
    enough = count >= 5
    n = np.maximum(count, 1)
    mean = values.sum(axis=1) / n
    sd = np.sqrt((np.where(known, flat - mean[:, None], 0.0) ** 2).sum(axis=1) / n)
    pairs = known[:, 1:] & known[:, :-1]
    step = np.where(pairs, np.abs(np.diff(values, axis=1)), 0.0).sum(axis=1) / np.maximum(pairs.sum(axis=1), 1)
    features = np.concatenate([mean, np.log(sd + 1e-6), np.log(step + 1e-6)])
    features[~np.tile(enough, 3)] = np.nan
    return features


def out_of_fold(
    features: NDArray[np.float64], y: NDArray[np.int64], subjects: NDArray[Any], n_classes: int
) -> NDArray[np.float64]:
    """Linear discriminant scores (n, K) of each row by a model that has not seen its subject.

    The covariance within classes is shrunk by a tenth towards its diagonal; a class that the other subjects do not
    show scores minus infinity. O(subjects (n F^2 + F^3)).
    """
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    x = (features - centre) / spread
    scores = np.full((len(x), n_classes), -np.inf)
    for subject in np.unique(subjects):
        test = subjects == subject
        train = ~test
        known = [c for c in range(n_classes) if (y[train] == c).any()]
        if not known:
            continue
        means = np.stack([x[train & (y == c)].mean(axis=0) for c in known])
        within = x[train] - means[np.searchsorted(known, y[train])]
        covariance = within.T @ within / max(train.sum() - len(known), 1)
        covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.diag(np.diag(covariance) + 1e-6)
        weights = np.linalg.solve(covariance, means.T)
        prior = np.log([(y[train] == c).mean() for c in known])
        scores[np.ix_(test, known)] = x[test] @ weights - 0.5 * np.einsum("kf,fk->k", means, weights) + prior
    return scores


def _log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    # A class that no other subject shows gets next to nothing rather than minus infinity, so that the loss is finite.
    top = scores.max(axis=1, keepdims=True)
    shifted = np.maximum(np.where(np.isfinite(top), scores - top, 0.0), -50.0)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
