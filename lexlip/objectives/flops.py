"""FLOPS regularisation: the expected work of scoring, pushed down (Paria et al. 2020; weights after SPLADE).

Shapes: B rows, V vocabulary.

The sum over terms of the squared mean weight falls when weights shrink and, for equal mass, when rows use different
terms. It is applied to the weights themselves: on unit-length vectors it is bounded by 1 and hardly sparsifies.
"""

from dataclasses import dataclass

from torch import Tensor

from lexlip.objectives.gathering import gather_rows
from lexlip.objectives.views import Views


def flops(weights_BV: Tensor) -> Tensor:
    """Sum over terms of the square of the mean weight over the rows of all workers."""
    return gather_rows(weights_BV.float()).mean(dim=0).square().sum()


@dataclass(frozen=True)
class Flops:
    """FLOPS of both modalities.

    Attributes:
        weight: at full strength.
        ramp_share: share of the phase's steps over which the weight grows quadratically from 0; SPLADE's guard against
            collapse.
    """

    weight: float = 0.002
    ramp_share: float = 0.33

    def strength(self, progress: float) -> float:
        """The weight at a point of the phase, `progress` in 0..1."""
        if self.ramp_share <= 0:
            return self.weight
        return self.weight * min(1.0, progress / self.ramp_share) ** 2

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"flops_image": scalar, "flops_text": scalar}."""
        strength = self.strength(views.progress)
        return {
            "flops_image": strength * flops(views.image_vectors_NX),
            "flops_text": strength * flops(views.text_vectors_BX),
        }
