"""What an HMM or HSMM can do with an emission model: learn from observations, score, predict, sample.

Without one the model is fitted from labels and takes the log probabilities of a classifier.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, overload

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.durations import FittedLaw
from conv2d.temporal.em import ConvergenceMonitor, Dynamics, Learner, Recordings
from conv2d.temporal.emissions import EmissionModel, EmissionName, StoredEmissions
from conv2d.temporal.learned_parameters import LearnedParameters
from conv2d.temporal.learning import (
    Options,
    check_has_data,
    check_labels,
    count_frames,
    emissions_of,
    learn,
    require_count,
    stored_emissions,
    with_data,
)
from conv2d.temporal.model import SegmentModel
from conv2d.temporal.protocol import (
    FloatArray,
    IntArray,
    check_lengths,
    check_transitions,
    require_positive,
)
from conv2d.temporal.sampling import sample_segments
from conv2d_core import hsmm_forward_backward


@dataclass(eq=False)
class ObservedModel(LearnedParameters, SegmentModel):
    """Base of HMM and HSMM: see there for the parameters."""

    # Parameters that say nothing where there is no emission model; they are not stored then.
    LEARNING: ClassVar[tuple[str, ...]] = ("emission_model", "n_init", "n_iter", "tol", "random_state", "n_jobs")

    emission_model: EmissionName | EmissionModel | None = field(default=None, kw_only=True)
    n_init: int = field(default=4, kw_only=True)
    n_iter: int = field(default=100, kw_only=True)
    tol: float = field(default=1e-2, kw_only=True)
    random_state: int | None = field(default=0, kw_only=True)
    n_jobs: int = field(default=1, kw_only=True)

    emissions_: EmissionModel = field(init=False, repr=False)
    monitor_: ConvergenceMonitor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        if self.emission_model is not None:
            emissions_of(self.emission_model)
        for name in ("n_init", "n_iter", "n_jobs"):
            require_count(getattr(self, name), name)
        require_positive(self.tol, "tol")

    def _check_pseudocount(self) -> None:
        if self.emission_model is None:
            super()._check_pseudocount()
        elif not self.transition_pseudocount >= 0:
            raise UsageError(
                f"E-TEMPORAL-005: transition_pseudocount is {self.transition_pseudocount}, expected 0 or more"
            )

    # Learning

    @overload
    def fit(
        self,
        label_sequences: Sequence[npt.ArrayLike],
        groups: Sequence[str] | None = None,
        ends: Sequence[bool] | None = None,
    ) -> Self: ...

    @overload
    def fit(
        self,
        X: Any,
        lengths: npt.ArrayLike | None = None,
        labels: npt.ArrayLike | None = None,
        *,
        groups: Sequence[str] | None = None,
        has_data: npt.ArrayLike | None = None,
        log_transitions: npt.ArrayLike | None = None,
        warm_start: bool = False,
    ) -> Self: ...

    def fit(self, *args: Any, **kwargs: Any) -> Self:
        """Learn from observations, or count in labelled recordings where the model has no ``emission_model``.

        Without an emission model: ``fit(label_sequences, groups=None, ends=None)``, see
        :meth:`conv2d.temporal.model.SegmentModel.fit`. With one:
        ``fit(X, lengths=None, labels=None, *, groups=None, has_data=None, log_transitions=None, warm_start=False)``,
        expectation-maximisation over the summed weight of all timelines.

        Args:
            X: observations of all recordings one after the other, a row a frame: (T, F) features, NaN where missing;
                (T,) or (T, P) int codes, below 0 where missing; (T, K) log likelihoods; or whatever an emission model
                of your own takes.
            lengths: frames of each recording, which sum to T; None for a single one.
            labels: (T,) int, states that are known, -1 where not. Known frames are fixed; with all of them known one
                step counts.
            groups: subject of each recording, remembered in ``subjects_``.
            has_data: (T,) bool, False for frames that say nothing.
            log_transitions: (T, K, K) scores of changes into each frame (known beforehand, of the time of day,
                perhaps; the first of each recording is not used): used in place of learned transitions.
            warm_start: go on from what is fitted, in place of fresh starts.

        Raises:
            UsageError: shapes that do not fit, values that are no observations, a recording that no timeline explains.

        Cost: O(T K (K + D)) for each step, in the native core but for the emissions.
        """
        if self.emission_model is None:
            observed = (
                bool(args) and isinstance(args[0], np.ndarray) and args[0].ndim == 2 and args[0].dtype.kind == "f"
            )
            if observed or not kwargs.keys() <= {"label_sequences", "groups", "ends"}:
                raise UsageError(
                    f"E-TEMPORAL-026: {type(self).__name__}.fit() got observations, expected an emission_model to "
                    "learn them by: pass emission_model='gaussian', 'categorical' or 'scores', or label sequences"
                )
            return super().fit(*args, **kwargs)
        return self._learn(*args, **kwargs)

    def _learn(
        self,
        X: Any,
        lengths: npt.ArrayLike | None = None,
        labels: npt.ArrayLike | None = None,
        *,
        groups: Sequence[str] | None = None,
        has_data: npt.ArrayLike | None = None,
        log_transitions: npt.ArrayLike | None = None,
        warm_start: bool = False,
    ) -> Self:
        n_frames = count_frames(X)
        sizes = check_lengths(lengths, n_frames)
        if n_frames == 0:
            raise UsageError("E-TEMPORAL-022: X has no frames, expected at least one")
        if groups is not None and len(groups) != len(sizes):
            raise UsageError(f"E-TEMPORAL-009: got {len(groups)} groups for {len(sizes)} recordings, expected one each")
        recordings = Recordings(
            X,
            sizes,
            check_labels(labels, n_frames, self.n_states),
            check_has_data(has_data, n_frames),
            check_transitions(log_transitions, n_frames, self.n_states),
        )
        start = None
        if warm_start:
            self._check_fitted("fit(warm_start=True)")
            emissions, start = emissions_of(self.emissions_), self._dynamics()
            max_duration = self.log_durations_.shape[1]
        else:
            emissions, max_duration = emissions_of(self.emission_model), self._longest_segment(max(sizes))
        learner = learn(
            self._options(max_duration),
            emissions,
            recordings,
            n_init=self.n_init,
            n_iter=self.n_iter,
            tol=self.tol,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            start=start,
        )
        self._take(learner)
        self.subjects_ = tuple(sorted(set(groups))) if groups is not None else ()
        return self

    def _take(self, learner: Learner) -> None:
        self._set_dynamics(learner.dynamics)
        self.log_final_ = np.zeros(self.n_states)
        shares = learner.seen.posteriors.mean(axis=0)
        self.class_log_prior_ = np.log(np.maximum(shares, 1e-12))
        self.emissions_ = learner.emissions
        self.monitor_ = learner.monitor

    def _set_known(
        self, startprob: npt.ArrayLike, transmat: npt.ArrayLike, laws: list[FittedLaw], emissions: EmissionModel
    ) -> Self:
        """Take parameters that are known in place of learned ones."""
        k = self.n_states
        arrays = {"startprob": np.array(startprob, dtype=np.float64), "transmat": np.array(transmat, dtype=np.float64)}
        for name, array in arrays.items():
            shape = (k,) if name == "startprob" else (k, k)
            if array.shape != shape or not bool((array >= 0).all()) or not np.allclose(array.sum(axis=-1), 1):
                raise UsageError(
                    f"E-TEMPORAL-020: {name} of shape {array.shape} holds no probabilities, expected {shape} with rows "
                    "that sum to 1"
                )
        with np.errstate(divide="ignore"):
            self._set_dynamics(Dynamics(np.log(arrays["startprob"]), np.log(arrays["transmat"]), laws))
        self.log_final_ = np.zeros(k)
        self.class_log_prior_ = np.full(k, -np.log(k))
        self.emissions_ = emissions_of(emissions)
        self.monitor_ = ConvergenceMonitor(self.tol, self.n_iter)
        self.subjects_ = ()
        return self

    @abstractmethod
    def _longest_segment(self, longest: int) -> int:
        """Frames of the laws, D, for recordings of up to ``longest`` frames."""

    @abstractmethod
    def _options(self, max_duration: int) -> Options:
        """What the parameters mean for learning with laws of D frames."""

    @abstractmethod
    def _dynamics(self) -> Dynamics:
        """What is fitted, to go on from."""

    def _set_dynamics(self, dynamics: Dynamics) -> None:
        self.log_initial_ = dynamics.log_initial
        self.log_transitions_ = dynamics.log_transitions
        self.log_durations_ = dynamics.log_durations

    # Use

    def emissions(self, log_proba: Any, has_data: npt.ArrayLike | None = None) -> FloatArray:
        """Scores (T, K) of frames for the core.

        Without an emission model those of a classifier's log probabilities (T, K), see
        :meth:`conv2d.temporal.model.SegmentModel.emissions`; with one its log likelihoods, zeros
        where there is no data.
        """
        if self.emission_model is None:
            return super().emissions(log_proba, has_data)
        self._check_fitted("emissions")
        n_frames = count_frames(log_proba)
        mask = check_has_data(has_data, n_frames)
        X = with_data(self.emissions_, log_proba, mask)
        unknown = np.full(n_frames, -1, dtype=np.int64)
        return Recordings(X, (n_frames,), unknown, mask).scores(self.emissions_, self.n_states)

    def predict(
        self,
        X: Any,
        lengths: npt.ArrayLike | None = None,
        *,
        has_data: npt.ArrayLike | None = None,
        log_transitions: npt.ArrayLike | None = None,
    ) -> IntArray:
        """State (T,) of each frame on the most likely timeline: the labels of :meth:`decode`."""
        return self.decode(X, has_data, lengths=lengths, log_transitions=log_transitions).labels

    def score(
        self,
        X: Any,
        lengths: npt.ArrayLike | None = None,
        *,
        has_data: npt.ArrayLike | None = None,
        log_transitions: npt.ArrayLike | None = None,
    ) -> float:
        """Log likelihood of the recordings: log of the summed weight of all timelines; O(T K (K + D))."""
        self._check_fitted("score")
        total = 0.0
        for _, scores, order in self._recordings(X, has_data, lengths, log_transitions, ends=True):
            log_likelihood, _ = hsmm_forward_backward(
                scores, order, self.log_initial_, self.log_durations_, censoring=self.censoring
            )
            total += float(log_likelihood)
        return total

    def aic(self, X: Any, lengths: npt.ArrayLike | None = None) -> float:
        """Akaike's information criterion, lower is better: 2 (parameters - log likelihood)."""
        return 2 * (self.n_parameters - self.score(X, lengths))

    def bic(self, X: Any, lengths: npt.ArrayLike | None = None) -> float:
        """Bayesian information criterion, lower is better: parameters log(T) - 2 log likelihood."""
        return self.n_parameters * float(np.log(count_frames(X))) - 2 * self.score(X, lengths)

    @property
    def n_parameters(self) -> int:
        """Numbers that were learned: emissions, start, transitions and durations."""
        self._check_learned("n_parameters")
        known = getattr(self.emissions_, "n_parameters", None)
        if known is None:
            raise UsageError(
                f"E-TEMPORAL-025: {type(self.emissions_).__name__} has no n_parameters, expected that for aic and bic"
            )
        return int(known) + self._n_dynamics()

    @abstractmethod
    def _n_dynamics(self) -> int:
        """Numbers that start, transitions and durations were learned by."""

    def sample(
        self, n_frames: int, random_state: int | None = None, *, log_transitions: npt.ArrayLike | None = None
    ) -> tuple[Any, IntArray, IntArray]:
        """Draw a recording: observations, states (T,) and segments (n, 3).

        Where ``censoring`` cuts the start, the first segment is met under way. The last is cut at T frames always.
        Two neighbouring segments have one state where a self-transition was drawn.

        Args:
            n_frames: T.
            random_state: seed, None for another recording at every call.
            log_transitions: (T, K, K) scores of changes into each frame, in place of what was fitted.

        Raises:
            UsageError: not learned, or an emission model that cannot be drawn from (E-TEMPORAL-025).
        """
        self._check_learned("sample")
        draw = getattr(self.emissions_, "sample", None)
        if draw is None:
            raise UsageError(
                f"E-TEMPORAL-025: {type(self.emissions_).__name__} cannot be drawn from, expected sample(states, rng)"
            )
        order = check_transitions(log_transitions, n_frames, self.n_states)
        rng = np.random.default_rng(random_state)
        segments = sample_segments(
            self.log_initial_,
            self.log_transitions_ if order is None else order,
            self.log_durations_,
            n_frames,
            rng,
            under_way=self.censoring in ("left", "both"),
        )
        states = np.repeat(segments[:, 0], segments[:, 2] - segments[:, 1])
        return draw(states, rng), states, segments

    def _check_learned(self, verb: str) -> None:
        self._check_fitted(verb)
        if not hasattr(self, "emissions_"):
            raise UsageError(
                f"E-TEMPORAL-025: {type(self).__name__} was fitted from labels, expected emission_model= for {verb}"
            )

    # Storage

    def to_dict(self) -> dict[str, Any]:
        """Parameters and everything fitted as plain JSON values, exact to the last bit.

        Raises:
            UsageError: not fitted, or emissions of your own (E-TEMPORAL-025): keep those with pickle.
        """
        stored = super().to_dict()
        params = dict(stored["params"])
        if self.emission_model is None:
            # As it was written before there was learning: older versions can open it.
            for name in self.LEARNING:
                del params[name]
            return stored | {"params": params}
        if not isinstance(self.emissions_, StoredEmissions):
            raise UsageError(
                f"E-TEMPORAL-025: emissions of {type(self.emissions_).__name__} cannot be stored, expected those of "
                "conv2d; keep the model with pickle"
            )
        params["emission_model"] = self.emissions_.KIND
        return stored | {
            "params": params,
            "emissions": self.emissions_.to_dict(),
            "monitor": {"history": self.monitor_.history, "log_likelihoods": self.monitor_.log_likelihoods},
        }

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild what :meth:`to_dict` gave; see the base class for errors."""
        model = super().from_dict(data)
        if model.emission_model is not None:
            try:
                emissions = stored_emissions(data["emissions"])
                monitor = {name: [float(v) for v in data["monitor"][name]] for name in ("history", "log_likelihoods")}
            except (KeyError, TypeError, ValueError) as problem:
                raise UsageError(
                    f"E-TEMPORAL-006: the emissions of the stored {cls.KIND} cannot be read ({problem!r}), expected "
                    "what to_dict() wrote"
                ) from problem
            model.emissions_ = emissions
            # The model's own choice, with its parameters, so that another fit does the same.
            model.emission_model = type(emissions)(**emissions.get_params())
            model.monitor_ = ConvergenceMonitor(model.tol, model.n_iter, **monitor)
        return model
