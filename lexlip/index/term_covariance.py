"""How the weights of terms vary together on one side: by it the vectors of the other side are cut and scaled.

Shapes: V vocabulary, R rank of the factor. The covariance has V x V entries, so it comes as a factor of low rank and
the rest of its diagonal.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class TermCovariance:
    """The covariance factor_VR @ factor_VR.T, and `rest_V` on the diagonal.

    Attributes:
        factor_VR: [vocabulary, R] float32.
        rest_V: [vocabulary] float32, not negative.
        usual_spread: root mean square of the standard deviations that the factor gives the scores of the other side's
            vectors (of unit length); 0 where nothing varies.
    """

    factor_VR: np.ndarray
    rest_V: np.ndarray
    usual_spread: float

    @cached_property
    def variance_V(self) -> np.ndarray:
        """[vocabulary] float32, the diagonal."""
        return np.square(self.factor_VR).sum(axis=1) + self.rest_V

    @classmethod
    def of_nothing(cls, vocabulary: int) -> "TermCovariance":
        """As before any training: against it the heaviest terms are kept, and vectors get unit length."""
        return cls(np.zeros((vocabulary, 1), np.float32), np.zeros(vocabulary, np.float32), 0.0)
