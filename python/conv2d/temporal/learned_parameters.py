"""What was learned, by the names that hmmlearn gives it."""

from typing import Any

import numpy as np

from conv2d.temporal.protocol import FloatArray


class LearnedParameters:
    """Start, transitions and emissions of a fitted model as probabilities."""

    log_initial_: FloatArray
    log_transitions_: FloatArray

    @property
    def startprob_(self) -> FloatArray:
        """Probability (K,) of each state at the first frame."""
        return np.asarray(np.exp(self.log_initial_))

    @property
    def transmat_(self) -> FloatArray:
        """Probability (K, K) of each state after the end of a segment of each."""
        return np.asarray(np.exp(self.log_transitions_))

    @property
    def means_(self) -> FloatArray:
        """Means (K, F) of Gaussian emissions."""
        return np.asarray(self._learned_array("means_"))

    @property
    def covars_(self) -> FloatArray:
        """Covariances of Gaussian emissions, shaped by ``covariance_type``."""
        return np.asarray(self._learned_array("covars_"))

    @property
    def emissionprob_(self) -> FloatArray | list[FloatArray]:
        """Probability (K, S) of each code in each state; a list for several positions."""
        found: FloatArray | list[FloatArray] = self._learned_array("emissionprob_")
        return found

    def _learned_array(self, name: str) -> Any:
        if not hasattr(self, "emissions_") or not hasattr(self.emissions_, name):
            # What hasattr() and copy ask for must be an AttributeError.
            raise AttributeError(f"{type(self).__name__} has no {name}: it was not learned with emissions that have it")
        return getattr(self.emissions_, name)
