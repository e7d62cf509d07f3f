"""Learning an HSMM from observations: starts, restarts, and what the options of the model mean for the steps."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.categorical_emissions import CategoricalEmissions
from conv2d.temporal.em import ConvergenceMonitor, Dynamics, Learner, Prior, Recordings
from conv2d.temporal.emissions import EmissionModel, ScoreEmissions, StoredEmissions
from conv2d.temporal.gaussian_emissions import GaussianEmissions
from conv2d.temporal.laws import Law
from conv2d.temporal.learned_laws import FLOOR, law_of_mean, prior_lengths
from conv2d.temporal.protocol import BoolArray, FloatArray, IntArray, require_positive
from conv2d.temporal.starts import mean_run, start_posteriors

EMISSIONS: dict[str, type[StoredEmissions]] = {
    kind.KIND: kind for kind in (GaussianEmissions, CategoricalEmissions, ScoreEmissions)
}
SHORT_STEPS = 10
"""Steps that every start gets before the best goes on alone."""
BLOCK_SHARES = (2, 8, 32, 1)
"""Blocks of a half, an eighth, ... of a segment, from one start to the next."""


class DurationPrior(TypedDict, total=False):
    """What is known of durations beforehand, in seconds: one number, or one for each state.

    ``mean`` is required; ``sd`` is half the mean unless given; ``strength`` is how many segments this counts as (1).
    """

    mean: float | Sequence[float]
    sd: float | Sequence[float]
    strength: float | Sequence[float]


@dataclass(frozen=True)
class Options:
    """What the model's parameters say about learning, in frames.

    Attributes:
        n_states: K.
        max_duration: D.
        kind: law of the durations.
        prior_means: (K,) mean lengths known beforehand, or None.
        prior: what is added to the counts.
    """

    n_states: int
    max_duration: int
    kind: Law
    prior_means: FloatArray | None
    prior: Prior


def emissions_of(choice: Any) -> EmissionModel:
    """An emission model by name, or a copy of the one given.

    Raises:
        UsageError: an unknown name, or an object without the two methods (E-TEMPORAL-020).
    """
    if isinstance(choice, str):
        if choice not in EMISSIONS:
            raise UsageError(
                f"E-TEMPORAL-020: emission_model is {choice!r}, expected one of {', '.join(EMISSIONS)}, or an object "
                "with log_likelihood(X) and update(X, posteriors)"
            )
        made: Any = EMISSIONS[choice]()
        return made  # type: ignore[no-any-return]
    if not isinstance(choice, EmissionModel) or isinstance(choice, type):
        raise UsageError(
            f"E-TEMPORAL-020: emission_model is {choice!r}, expected one of {', '.join(EMISSIONS)}, or an object with "
            "log_likelihood(X) and update(X, posteriors)"
        )
    return copy.deepcopy(choice)


def stored_emissions(stored: Any) -> StoredEmissions:
    """Rebuild what ``to_dict()`` of an emission model gave; KeyError, TypeError or ValueError where it cannot be."""
    made = EMISSIONS[stored["kind"]](**stored["params"])
    made._fitted_from_dict(stored["fitted"])
    return made


def check_prior(prior: Any, n_states: int) -> None:
    """Raise UsageError unless a duration prior names seconds for each state (E-TEMPORAL-005)."""
    if prior is None:
        return
    if not isinstance(prior, dict) or "mean" not in prior or set(prior) - {"mean", "sd", "strength"}:
        raise UsageError(
            f"E-TEMPORAL-005: duration_prior_s is {prior!r}, expected a dict with 'mean' in seconds, and 'sd' in "
            "seconds and 'strength' in segments where they are known"
        )
    for name, value in prior.items():
        values = np.asarray(value, dtype=np.float64)
        # A state without a prior has strength zero.
        valid = values >= 0 if name == "strength" else values > 0
        if values.shape not in ((), (n_states,)) or not bool((valid & np.isfinite(values)).all()):
            raise UsageError(
                f"E-TEMPORAL-005: {name!r} of duration_prior_s is {value!r}, expected a number above 0, or {n_states}"
            )


def with_data(emissions: EmissionModel, X: Any, has_data: BoolArray | None) -> Any:
    """X in which what is masked counts in nothing, not even in the spread of the features, and may hold anything."""
    if has_data is None or not isinstance(emissions, StoredEmissions):
        return X
    return emissions.without(X, has_data)


def count_frames(X: Any) -> int:
    """Frames of X, its first axis."""
    try:
        return len(X)
    except TypeError as problem:
        raise UsageError(f"E-TEMPORAL-021: X is {type(X).__name__}, expected an array with a row a frame") from problem


def check_labels(labels: npt.ArrayLike | None, n_frames: int, n_states: int) -> IntArray:
    """Known states (T,), below 0 where unknown; all unknown without ``labels``.

    Raises:
        UsageError: another shape, no whole numbers, or a label that is no state (E-TEMPORAL-022).
    """
    if labels is None:
        return np.full(n_frames, -1, dtype=np.int64)
    known = np.asarray(labels)
    if known.shape != (n_frames,) or known.dtype.kind not in "iu":
        raise UsageError(
            f"E-TEMPORAL-022: labels are {known.dtype} of shape {known.shape}, expected int ({n_frames},), -1 where "
            "the state is unknown"
        )
    if len(known) and int(known.max()) >= n_states:
        frame = int(known.argmax())
        raise UsageError(
            f"E-TEMPORAL-022: label {int(known[frame])} of frame {frame} is no state, expected -1 to {n_states - 1}"
        )
    return np.asarray(np.maximum(known.astype(np.int64), -1))


def check_has_data(has_data: npt.ArrayLike | None, n_frames: int) -> BoolArray | None:
    """Which frames have data (T,) bool, or None.

    Raises:
        UsageError: another type or shape (E-TEMPORAL-002).
    """
    if has_data is None:
        return None
    mask = np.asarray(has_data)
    if mask.dtype != np.bool_ or mask.shape != (n_frames,):
        raise UsageError(
            f"E-TEMPORAL-002: has_data is {mask.dtype} of shape {mask.shape}, expected bool ({n_frames},); pass the "
            "frames of each recording as lengths="
        )
    return mask


def make_options(
    n_states: int,
    max_duration: int,
    kind: Law,
    duration_prior: DurationPrior | None,
    frame_s: float,
    *,
    pseudocount: float,
    self_transition: float,
    censoring: str,
    learn_order: bool,
) -> Options:
    """Turn the parameters of a model, in seconds, into counts of frames."""
    k, d = n_states, max_duration
    durations = np.full((k, d), FLOOR if kind == "categorical" else 0.0)
    means = None
    if duration_prior is not None:
        means = np.broadcast_to(np.asarray(duration_prior["mean"], dtype=np.float64), (k,)) / frame_s
        sds = np.broadcast_to(np.asarray(duration_prior.get("sd", means * frame_s / 2)), (k,)) / frame_s
        strengths = np.broadcast_to(np.asarray(duration_prior.get("strength", 1.0)), (k,))
        durations = durations + np.stack(
            [prior_lengths(*known, d) for known in zip(means.tolist(), sds.tolist(), strengths.tolist(), strict=True)]
        )
    others = (1 - np.eye(k)) * (pseudocount / max(1, k - 1))
    prior = Prior(
        kind=kind,
        censoring=censoring,
        initial=np.full(k, pseudocount / k),
        transitions=others,
        durations=durations,
        # Segments of one frame say nothing about how long a state lasts: then it is an HMM, and staying is learned.
        stay=None if d == 1 else self_transition,
        learn_order=learn_order,
    )
    return Options(k, d, kind, means, prior)


def start_dynamics(options: Options, typical: float) -> Dynamics:
    """Every order equally likely, and broad laws of about the typical length, or of what is known beforehand."""
    k = options.n_states
    means = options.prior_means if options.prior_means is not None else np.full(k, typical)
    laws = [law_of_mean(options.kind, float(mean), options.max_duration) for mean in means]
    stay = options.prior.stay
    if stay is None:
        stay = max(1 / k, 1 - 1 / max(2.0, typical))
    with np.errstate(divide="ignore"):
        order = np.log(np.where(np.eye(k, dtype=bool), stay, (1 - stay) / max(1, k - 1))) if k > 1 else np.zeros((1, 1))
    return Dynamics(np.full(k, -np.log(k)), order, laws)


def learn(
    options: Options,
    emissions: EmissionModel,
    recordings: Recordings,
    *,
    n_init: int,
    n_iter: int,
    tol: float,
    random_state: int | None,
    n_jobs: int,
    start: Dynamics | None = None,
) -> Learner:
    """Run expectation-maximisation from several starts, and on from the best.

    Args:
        options: from :func:`make_options`.
        emissions: the emission model; changed in place.
        recordings: what is learned from.
        n_init: starts.
        n_iter: steps at most.
        tol: gain of a step below which it has converged.
        random_state: seed of the starts.
        n_jobs: threads.
        start: dynamics to go on from instead, with the emissions as they are.
    """
    recordings = replace(recordings, X=with_data(emissions, recordings.X, recordings.has_data))

    def learner(model: EmissionModel, dynamics: Dynamics) -> Learner:
        return Learner(recordings, options.prior, model, dynamics, ConvergenceMonitor(tol, n_iter), n_jobs)

    if start is not None:
        return learner(emissions, start).run(n_iter)
    prepare = getattr(emissions, "prepare", None)
    if prepare is not None:
        prepare(recordings.X, options.n_states)
    typical = _typical_length(options, recordings.lengths)
    features = getattr(emissions, "features", None)
    if features is None:
        return learner(emissions, start_dynamics(options, typical)).run(n_iter)
    best: Learner | None = None
    known_all = bool((recordings.labels >= 0).all())
    for number in range(1 if known_all else n_init):
        rng = np.random.default_rng(None if random_state is None else [random_state, number])
        table = np.asarray(features(recordings.X, rng), dtype=np.float64)
        if recordings.has_data is not None:
            table = np.where(recordings.has_data[:, None], table, np.nan)
        block = max(1, round(typical / BLOCK_SHARES[number % len(BLOCK_SHARES)]))
        shares = start_posteriors(table, recordings.lengths, recordings.labels, options.n_states, block, rng)
        model = copy.deepcopy(emissions)
        model.update(recordings.X, shares)
        run = mean_run(shares, recordings.lengths)
        attempt = learner(model, start_dynamics(options, run)).run(min(SHORT_STEPS, n_iter))
        if best is None or attempt.objective > best.objective:
            best = attempt
    assert best is not None
    return best.run(n_iter - best.monitor.iter)


def _typical_length(options: Options, lengths: Sequence[int]) -> float:
    if options.prior_means is not None:
        return float(options.prior_means.mean())
    # Nothing is known: a length of which every state could be seen a few times.
    return max(1.0, min(options.max_duration / 4, sum(lengths) / (8 * options.n_states)))


def require_count(value: int, name: str) -> None:
    """Raise UsageError (E-TEMPORAL-005) unless ``value`` is a whole number of at least 1."""
    if require_positive(value, name) != int(value):
        raise UsageError(f"E-TEMPORAL-005: {name} is {value}, expected a whole number of at least 1")
