"""What a lexicon model knows of its own vectors: how heavy terms are on each side, and how they vary together.

Shapes: N images, B captions, V vocabulary, R rank of a covariance's factor, P rows that are taken into it.

A term adds to a score what both sides weigh it, so which terms of an image are worth keeping depends on texts, and of
a text on images:

- In use, vectors are cut by pursuit against the covariance of the other side (`lexlip.index.pursuit`).
- In training every batch is cut several times, on its device. There terms are kept by weight x worth, where the worth
  is the square root of the root mean square of the weight on the other side: of the covariance little more than the
  diagonal, for the price of a selection. Training through the pursuit itself found no more.

All of it is followed during training, as a batch norm follows its statistics, and belongs to the model.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lexlip.index.pursuit import TermCovariance

SLOWEST = 0.99  # share of the old statistics kept at a step, once there have been enough steps
LEAST_SHARE = 0.1  # of the mean worth of all terms: what a term keeps that the other side never had in training
RANK = 128  # of a factor; from 64 to 1,024 recall changes less than from one training to the next
COVARIANCE_EVERY = 4  # steps: the eigenvectors of some hundred rows take milliseconds, on GPUs too
COVARIANCE_ROWS = 256  # of a step, over all workers: a covariance needs a sample, not every caption


class TermStatistics(nn.Module):
    """Running means of the unit vectors of both sides, of their squares, and a factor of their covariances.

    Before any step all terms are worth the same, and none varies.

    Args:
        terms: of the vocabulary.
    """

    image_running_mean: Tensor
    image_running_square: Tensor
    image_factor: Tensor
    text_running_mean: Tensor
    text_running_square: Tensor
    text_factor: Tensor
    steps: Tensor
    covariance_steps: Tensor

    def __init__(self, terms: int) -> None:
        super().__init__()
        for side in ("image", "text"):
            self.register_buffer(f"{side}_running_mean", torch.zeros(terms))
            self.register_buffer(f"{side}_running_square", torch.zeros(terms))
            self.register_buffer(f"{side}_factor", torch.zeros(terms, min(RANK, terms)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("covariance_steps", torch.zeros((), dtype=torch.int64))
        self._covariances: dict[str, TermCovariance] = {}

    @torch.no_grad()
    def follow(self, image_unit_vectors_NV: Tensor, text_unit_vectors_BV: Tensor) -> None:
        """Takes the vectors of one step into the means: plain means at first, moving ones later."""
        fresh = _fresh_share(self.steps, 1)
        for side, rows in (("image", image_unit_vectors_NV), ("text", text_unit_vectors_BV)):
            self.get_buffer(f"{side}_running_mean").lerp_(rows.mean(dim=0), fresh)
            self.get_buffer(f"{side}_running_square").lerp_(rows.square().mean(dim=0), fresh)
        self.steps += 1
        self._covariances.clear()

    @torch.no_grad()
    def follow_covariance(self, image_unit_vectors_PV: Tensor, text_unit_vectors_PV: Tensor) -> None:
        """Takes rows of every fourth step, the same rows on all workers, into the factors.

        A factor is kept to its rank by the leading directions of itself and the new rows: principal components of a
        stream that forgets (incremental SVD, Brand 2002).
        """
        fresh = _fresh_share(self.covariance_steps, COVARIANCE_EVERY)
        for side, rows_PV in (("image", image_unit_vectors_PV.float()), ("text", text_unit_vectors_PV.float())):
            factor_VR = self.get_buffer(f"{side}_factor")
            around_mean_PV = (rows_PV - rows_PV.mean(dim=0)) * (fresh / len(rows_PV)).sqrt()
            both_SV = torch.cat([factor_VR.T * (1 - fresh).sqrt(), around_mean_PV])
            leading_SR = torch.linalg.eigh(both_SV @ both_SV.T).eigenvectors[:, -factor_VR.shape[1] :]
            factor_VR.copy_(both_SV.T @ leading_SR)
        self.covariance_steps += 1
        self._covariances.clear()

    def worth_of_image_terms(self) -> Tensor:
        """[V] the worth of each term in a vector of an image."""
        return _worth(self.text_running_square)

    def worth_of_text_terms(self) -> Tensor:
        """[V] the worth of each term in a vector of a text."""
        return _worth(self.image_running_square)

    def covariance(self, side: str) -> TermCovariance:
        """Of the vectors of a side, "image" or "text": vectors of the other side are cut by it."""
        if side not in self._covariances:
            mean_V, square_V = self.get_buffer(f"{side}_running_mean"), self.get_buffer(f"{side}_running_square")
            factor_VR = self.get_buffer(f"{side}_factor")
            rest_V = (square_V - mean_V.square() - factor_VR.square().sum(dim=1)).clamp(min=0)
            self._covariances[side] = TermCovariance(factor_VR.cpu().numpy(), rest_V.cpu().numpy())
        return self._covariances[side]

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._covariances.clear()


def _fresh_share(updates: Tensor, steps_each: int) -> Tensor:
    # Tensors all the way: a Python number would wait for the device at every step.
    return (1.0 / (updates + 1)).clamp(min=1.0 - SLOWEST**steps_each)


def _worth(mean_square_V: Tensor) -> Tensor:
    worth_V = mean_square_V.sqrt().sqrt()
    # Images and questions of other data may well have a term that training never saw on one side.
    followed_V = worth_V.clamp(min=LEAST_SHARE * worth_V.mean())
    return torch.where(worth_V.amax() > 0, followed_V, torch.ones_like(worth_V))
