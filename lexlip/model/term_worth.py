"""Which terms are worth their place in a vector that is cut to a few.

Shapes: N images, B captions, V vocabulary.

A term adds to a score what both sides weigh it, so a heavy term that the other side hardly ever weighs is a place lost.
Vectors are therefore not cut to their heaviest terms but to those of the highest weight x worth, where the worth of a
term is the square root of the root mean square of its weight on the other side. The mean squares are followed during
training, as a batch norm follows its statistics, and belong to the model.
"""

import torch
from torch import Tensor, nn

SLOWEST = 0.99  # share of the old mean squares kept at a step, once there have been enough steps
LEAST_SHARE = 0.1  # of the mean worth of all terms: what a term keeps that the other side never had in training


class TermWorth(nn.Module):
    """Running mean squares of the unit vectors of both sides; before any step all terms are worth the same.

    Args:
        terms: of the vocabulary.
    """

    image_running_square: Tensor
    text_running_square: Tensor
    steps: Tensor

    def __init__(self, terms: int) -> None:
        super().__init__()
        self.register_buffer("image_running_square", torch.zeros(terms))
        self.register_buffer("text_running_square", torch.zeros(terms))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def follow(self, image_unit_vectors_NV: Tensor, text_unit_vectors_BV: Tensor) -> None:
        """Takes the vectors of one step into the means: plain means at first, moving ones later."""
        # Tensors all the way: a Python number would wait for the device at every step.
        fresh = (1.0 / (self.steps + 1)).clamp(min=1.0 - SLOWEST)
        self.image_running_square.lerp_(image_unit_vectors_NV.square().mean(dim=0), fresh)
        self.text_running_square.lerp_(text_unit_vectors_BV.square().mean(dim=0), fresh)
        self.steps += 1

    def of_image_terms(self) -> Tensor:
        """[V] the worth of each term in a vector of an image."""
        return _worth(self.text_running_square)

    def of_text_terms(self) -> Tensor:
        """[V] the worth of each term in a vector of a text."""
        return _worth(self.image_running_square)


def _worth(mean_square_V: Tensor) -> Tensor:
    worth_V = mean_square_V.sqrt().sqrt()
    # Images and questions of other data may well have a term that training never saw on one side.
    followed_V = worth_V.clamp(min=LEAST_SHARE * worth_V.mean())
    return torch.where(worth_V.amax() > 0, followed_V, torch.ones_like(worth_V))
