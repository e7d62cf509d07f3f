"""The face for those who know scikit-learn: ``Conv2dClassifier``.

Codes of the errors of models and of this class, for a search (E-API-010 to -018: `conv2d.data.interchange`):

===========  ==========================================================================
E-API-001    recordings and other things together
E-API-002    windows of another shape than the model was fitted on
E-API-003    a recording lacks a sensor or channel
E-API-004    a recording has another sampling rate
E-API-005    two recordings of one name
E-API-006    a window with infinite values
E-API-007    windows or a path where recordings are needed
E-API-008    recordings for a model that was fitted on windows
E-API-020    the config is for windows of another length
E-API-021    the config is no experiment
E-API-022    an array that cannot be windows
E-API-023    labels or subjects beside recordings, which hold their own
E-API-024    to be scored on a subject that was trained on
E-API-025    to be saved as a run, after fitting on windows
E-API-026    only one class
E-API-027    recordings without calibration
E-API-028    names of channels or sensors that do not fit the array
E-API-029    groups that are not one for each window
E-API-030    labels that are missing, or of two kinds
===========  ==========================================================================
"""

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from conv2d.config import Config
from conv2d.data import Dataset, Recording
from conv2d.data.interchange.recording_checks import check_rate_hz
from conv2d.data.interchange.xarray_arrays import is_data_array, names_of, window_array
from conv2d.data.meta import in_words
from conv2d.errors import DataError, GateFailed, UsageError
from conv2d.logging.progress import NullProgress, Progress, Task
from conv2d.tasks.behavior.classifier_arrays import check_labels, lifted, names_for, subjects_of
from conv2d.tasks.behavior.classifier_settings import recordings_config, stated_data, windows_config
from conv2d.tasks.behavior.corpus import Corpus, Selection, read_corpus, select_described
from conv2d.tasks.behavior.fitted_run import hash_recordings, run_as_bytes, write_run
from conv2d.tasks.behavior.in_memory import (
    as_windows,
    corpus_of_recordings,
    corpus_of_windows,
    describe,
    recordings_in,
    refuse_infinite,
    unmasked,
)
from conv2d.tasks.behavior.measures import window_truth
from conv2d.tasks.behavior.model import BehaviorModel, Encoding
from conv2d.tasks.behavior.subjects import training_subjects
from conv2d.tasks.behavior.task import BehaviorTask, without_data
from conv2d.tasks.behavior.timelines import Timelines
from conv2d.tasks.behavior.window_task import WindowTask
from conv2d.training.fit import Fitted, fit

_TRAINING = threading.Lock()


class _Lines(NullProgress):
    """A line for each stretch of work."""

    def task(self, description: str, total: float | None = None) -> Task:
        """Say what begins."""
        print(f"{description} ...")
        return super().task(description, total)

    def say(self, message: str) -> None:
        """Show a line of its own."""
        print(message)

    def __enter__(self) -> Progress:
        """Do nothing."""
        return self


@contextmanager
def _caller_left_alone() -> Iterator[None]:
    """Torch's generators and number of threads are the caller's; trainings wait for each other, as they share them."""
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = list(range(torch.cuda.device_count())) if in_use else []
    threads = torch.get_num_threads()
    with _TRAINING, torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            torch.set_num_threads(threads)


class Conv2dClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A network, its scales and its calibration, fitted on windows or on recordings; an estimator of scikit-learn.

    It trains what ``conv2d train`` trains, by the same code. Fitted on *windows* it says what each one shows; fitted on
    *recordings* it also decodes timelines and can be saved as a run directory.

    Parameters
    ----------
    config
        The experiment: path or packaged name of a file, a dict with (some of) the same keys, or None for the defaults.
        What the other parameters say goes on top; None leaves it as it is there.
    channels, sensors
        Their names. For arrays they say what axes 1 and 2 are: ``acc_x, acc_y, acc_z`` are then known to be one vector,
        share a scale and are turned together in training. For recordings they select.
    rate_hz
        Samples per second of an array; without it no missing sample is bridged. Above 0 (E-API-017).
    epochs, learning_rate, batch_size
        ``training.*``. For arrays an epoch is all windows, at least 512 and at most 4000 of them.
    width, levels
        ``model.architecture.width``; levels of the codes, or ``"none"`` for a network without.
    inner_folds, calibrate
        Folds held out to fit the temperature. Without ``calibrate`` (windows only) one network is trained instead of
        ``inner_folds + 1``, and its probabilities are those of the softmax.
    device, n_threads
        ``training.device`` (auto, cpu, cuda) and ``training.threads``.
    random_state
        Seed; None takes the config's (0), so that the same call gives the same bits. A ``RandomState`` gives one.
    verbose
        1 prints a line for each network.

    Attributes
    ----------
    classes_
        Labels in the order of the columns of ``predict_proba``, (K,).
    n_features_in_, window_shape_
        Number of channels C; (C, S, T) of a window.
    model_
        The fitted `BehaviorModel`, what ``conv2d.load`` gives for a run.
    groups_
        Subjects that were seen, sorted; empty where they are not known.
    inner_split_
        What was held together in the inner folds: "subject", "time", or "none" without calibration.
    notes_
        What there was to warn of.
    history_
        A row an epoch of each network.

    Notes
    -----
    **Windows**: X is (N, C, S, T): windows, channels, sensors, samples; (N, C, T) is one sensor; (N, F) is a row of F
    features, taken for F channels that stand still for 8 samples. NaN, or masked in ``numpy.ma``, is a missing
    sample; a window in which no sensor has all its channels for half of the samples is without data: ``fit`` leaves it
    out and ``predict_proba`` gives it the class shares, and both warn. An ``xarray.DataArray`` is taken by the names of
    its dimensions. ``groups`` are the subjects: with them the windows held out for calibration
    are of other subjects, and without them a warning says what that means. scikit-learn hands groups to its splitters
    only; with metadata routing they reach ``fit`` too (it requests them by default).

    **Recordings**: X is a `conv2d.Recording`, several of them, or an opened data set; labels and subjects are theirs,
    so y is left out. Of a data set, subjects marked ``test`` are left out, as ``conv2d train`` does. Rows of
    ``predict`` and ``predict_proba`` are then frames, see `BehaviorModel`.

    The caller's generators (torch, NumPy) and torch's number of threads are left as they were. A pickle holds NumPy
    arrays and opens on any machine.

    Examples
    --------
    >>> import numpy as np
    >>> from conv2d import Conv2dClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["rest", "run"], 30)
    >>> X = rng.normal(size=(60, 3, 1, 32)) * np.where(y == "run", 3, 0.3)[:, None, None, None]
    >>> classifier = Conv2dClassifier(epochs=8, width=8, inner_folds=2).fit(X, y, groups=np.tile(["a", "b", "c"], 20))
    >>> bool(classifier.score(X, y) > 0.9), classifier.classes_.tolist(), classifier.inner_split_
    (True, ['rest', 'run'], 'subject')
    """

    __metadata_request__fit = {"groups": True}  # noqa: RUF012 (what scikit-learn looks for)

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | Config | None = None,
        *,
        channels: Sequence[str] | None = None,
        sensors: Sequence[str] | None = None,
        rate_hz: float | None = None,
        epochs: int | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        width: int | None = None,
        levels: Sequence[int] | str | None = None,
        inner_folds: int | None = None,
        calibrate: bool = True,
        device: str | None = None,
        n_threads: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.config = config
        self.channels = channels
        self.sensors = sensors
        self.rate_hz = rate_hz
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.width = width
        self.levels = levels
        self.inner_folds = inner_folds
        self.calibrate = calibrate
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        """Arrays of two, three and four dimensions; NaN is allowed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: Any, y: ArrayLike | None = None, groups: ArrayLike | None = None) -> Self:
        """Train, and calibrate on what was held out.

        Parameters
        ----------
        X
            Windows or recordings, see the class.
        y
            Labels (N,) of windows, of any kind; None for recordings.
        groups
            Subject of each window, (N,).

        Raises
        ------
        DataError
            Data that cannot be learned from: one class, a channel without any variation, an infinite value
            (E-API-006), a label that is missing or of another kind (E-API-030).
        UsageError
            An impossible shape (E-API-022), a parameter that the experiment does not allow, y beside recordings.

        Cost: ``inner_folds + 1`` trainings of ``epochs`` epochs; nothing is kept of X but its scales.
        """
        check_rate_hz(self.rate_hz)
        found = recordings_in(X)
        if found is None:
            self._fit_windows(X, y, groups)
        else:
            self._fit_recordings(found, y, groups)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities (N, K) of windows, or of the frames of recordings: each window alone, calibrated.

        See `BehaviorModel.predict_proba`. NotFittedError before ``fit``.
        """
        check_is_fitted(self)
        found = recordings_in(X)
        return self.model_.predict_proba(self._windows_like_before(X) if found is None else found)

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest label of each window, or of each frame of recordings, (N,); see `predict_proba`."""
        proba = self.predict_proba(X)
        labels: NDArray[Any] = self.classes_[proba.argmax(1)]
        return labels

    def predict_timeline(self, recordings: Any) -> Timelines:
        """Decoded segments and frames of recordings; only after fitting on recordings (E-API-008)."""
        check_is_fitted(self)
        return self.model_.predict_timeline(recordings)

    def encode(self, X: Any) -> Encoding:
        """Codes, features and embeddings of windows, or of the frames of recordings; see `BehaviorModel.encode`."""
        check_is_fitted(self)
        found = recordings_in(X)
        return self.model_.encode(self._windows_like_before(X) if found is None else found)

    def score(self, X: Any, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy of ``predict``; for recordings, on the labelled windows that lie ``data.hop`` apart.

        Recordings of a subject that was seen in training are refused (GateFailed, E-API-024).
        """
        found = recordings_in(X)
        if found is None:
            return float(super().score(X, y, sample_weight))
        check_is_fitted(self)
        if y is not None or sample_weight is not None:
            raise UsageError(
                "E-API-023: y or sample_weight was given beside recordings, which hold labels; leave it out"
            )
        corpus = self.model_.gather(found)
        if seen := sorted(set(corpus.subjects) & set(self.groups_)):
            raise GateFailed(
                f"E-API-024: subject {in_words(seen)} was seen in training, expected only subjects that were not; "
                "split with GroupKFold and groups=[recording.subject for recording in recordings]"
            )
        truth, proba, _ = window_truth(self.model_.apply(corpus, decoders=()), self.model_.config.data.hop)
        if not len(truth):
            raise DataError(
                f"E-EVAL-003: no window of the recordings has a label of {in_words(self.model_.classes)}, expected "
                "some to compare with; use predict_timeline for recordings without labels"
            )
        return float((proba.argmax(1) == truth).mean())

    def save(self, path: str | Path) -> None:
        """Write a run directory that ``conv2d.load``, ``conv2d run`` and ``conv2d eval`` open; no pickle is in it.

        It gives the same numbers as this object. The baselines that ``conv2d train`` fits beside the network, its log
        and its picture are not there; ``conv2d eval`` says NOT_MEASURED for the baselines.

        Raises
        ------
        UsageError
            It was fitted on windows, so there is no decoder, which a run needs (E-API-025): fit it on recordings, or
            keep it with joblib or pickle. Something stands at ``path`` (E-OUT-002).
        """
        check_is_fitted(self)
        if not self._run_:
            raise UsageError(
                "E-API-025: the classifier was fitted on windows, so it has no decoder of timelines, which a run "
                "directory needs; fit it on recordings, or keep it with joblib.dump"
            )
        write_run(self._run_, Path(path))

    def _fit_windows(self, X: Any, y: ArrayLike | None, groups: ArrayLike | None) -> None:
        channels, sensors = names_of(X) if is_data_array(X) else (None, None)
        named = self.channels is not None or channels is not None
        check_labels(y)
        X, y = self._validated(window_array(X) if is_data_array(X) else X, y, ensure_min_samples=2)
        check_classification_targets(y)
        windows = lifted(X, named=named)
        classes, labels = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise DataError(
                f"E-API-026: y holds only one class, {classes[0]}, expected two or more; add windows of others"
            )
        stated = stated_data(self.config)
        shape = windows.shape[1:]
        names = (
            names_for("channels", shape[0], self.channels, channels, stated.get("channels")),
            names_for("sensors", shape[1], self.sensors, sensors, stated.get("sensors")),
        )
        inside = [str(label) for label in classes.tolist()]
        if len(set(inside)) < len(inside) or not all(inside):
            inside = [f"class {number}" for number in range(len(inside))]
        config = windows_config(
            self.config, self._parameters(), n_windows=len(windows), window=shape[2], channels=names[0],
            sensors=names[1], classes=inside, rate_hz=self.rate_hz,
        )  # fmt: skip
        selection = Selection(names[1], names[0], tuple(inside))
        subjects = subjects_of(groups, len(windows))
        corpus = corpus_of_windows(config.data, selection, windows, labels.astype(np.int64), subjects)
        task = WindowTask(config, corpus, grouped=groups is not None, calibrate=bool(self.calibrate))
        self._train(task)
        self.classes_ = classes
        self.groups_ = () if groups is None else task.corpus.subjects
        self._run_: dict[str, bytes] = {}

    def _fit_recordings(self, found: Dataset | list[Recording], y: Any, groups: Any) -> None:
        named = None if isinstance(found, Dataset) else [recording.subject for recording in found]
        if y is not None or (groups is not None and list(groups) != named):
            raise UsageError(
                f"E-API-023: {'y' if y is not None else 'groups'} was given beside recordings, which hold labels and "
                "subjects; leave it out"
            )
        if not self.calibrate:
            raise UsageError(
                "E-API-027: calibrate is False, but the decoders of recordings are tuned on calibrated frames; leave "
                "it True, or fit on windows"
            )
        meta = found.meta if isinstance(found, Dataset) else describe(found)
        data = {"channels": self.channels, "sensors": self.sensors, "sampling_rate": self.rate_hz}
        given = {key: list(v) if isinstance(v, tuple) else v for key, v in data.items() if v is not None}
        config = recordings_config(self.config, {**self._parameters(), "data": given}, meta)
        corpus: Corpus
        if isinstance(found, Dataset):
            corpus = read_corpus(config, found, select_described(config.data, meta), training_subjects(config, found))
            data_sha256 = found.sha256()
        else:
            kept = [recording for recording in found if recording.subject not in config.data.test_subjects]
            corpus = corpus_of_recordings(
                config.data, select_described(config.data, meta), kept, config.data.corrections, meta.name
            )
            data_sha256 = hash_recordings(kept)
        task = BehaviorTask(config, corpus)
        fitted = self._train(task)
        self.classes_ = np.asarray(task.classes)
        self.groups_ = task.corpus.subjects
        self.n_features_in_ = len(corpus.selection.channels)
        if hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self._run_ = run_as_bytes(task, fitted, meta.name, data_sha256, simulated=meta.simulated)

    def _train(self, task: BehaviorTask) -> Fitted[Any]:
        config = task.config
        with _caller_left_alone():
            fitted = fit(task, config.training, seed=config.seed, progress=_Lines() if self.verbose else NullProgress())
        self.model_ = BehaviorModel.trained(task, fitted.network, fitted.preprocess)
        selection = task.corpus.selection
        self.window_shape_ = (len(selection.channels), len(selection.sensors), task.corpus.window)
        self.inner_split_ = task.held_together
        lost, pool = task.without_data, task.without_data + len(task.pool)
        self.notes_ = (*task.warnings, *([f"{without_data(lost, pool)}; they are left out"] if lost else []))
        self.history_ = fitted.history
        for note in self.notes_:
            warnings.warn(note, stacklevel=4)
        return fitted

    def _parameters(self) -> dict[str, Any]:
        """What the parameters say, as an experiment file would."""
        training = {
            "epochs": self.epochs, "learning_rate": self.learning_rate, "batch_size": self.batch_size,
            "inner_folds": self.inner_folds, "device": self.device, "threads": self.n_threads,
        }  # fmt: skip
        quantization: dict[str, Any] = {}
        if isinstance(self.levels, str):
            quantization["type"] = self.levels
        elif self.levels is not None:
            quantization = {"type": "fsq", "levels": [int(level) for level in self.levels]}
        values: dict[str, Any] = {
            "training": {key: value for key, value in training.items() if value is not None},
            "model": {"architecture": {"quantization": quantization}},
        }
        if self.width is not None:
            values["model"]["architecture"]["width"] = self.width
        if self.random_state is not None:
            whole = isinstance(self.random_state, int | np.integer)
            seed = self.random_state if whole else check_random_state(self.random_state).randint(2**31 - 1)
            values["seed"] = int(seed)
        return values

    def _windows_like_before(self, X: Any) -> NDArray[np.float32]:
        if is_data_array(X):
            X = window_array(X, self.model_.selection.channels, self.model_.selection.sensors)
        if np.asarray(X).ndim <= 2:  # scikit-learn's own sentences on features
            return lifted(self._validated(X, reset=False), named=True)
        windows = as_windows(X, self.model_.selection, self.window_shape_[2])
        self._validated(windows, reset=False)
        return windows

    def _validated(self, X: Any, y: Any = "no_validation", **further: Any) -> Any:
        """X, or X and y, as scikit-learn demands them; NaN stays, what is infinite is refused (E-API-006)."""
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is refused as such
            checked = validate_data(
                self, unmasked(X), y, dtype=np.float32, allow_nd=True, ensure_all_finite=False, **further
            )
        refuse_infinite(checked[0] if isinstance(checked, tuple) else checked)
        return checked
