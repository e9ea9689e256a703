"""What a lexicon model knows of its own vectors: how heavy terms are on each side, and how they vary together.

Shapes: N images, B captions, V vocabulary, R rank of a covariance's factor, P rows that are taken into it, S rows of
the factor and these together.

A term adds to a score what both sides weigh it, so which terms of an image are worth keeping depends on texts, and of
a text on images:

- In use, vectors are cut by pursuit against the covariance of the other side (`lexlip.index.pursuit`), and scaled by
  how it makes their scores spread (`lexlip.index.scaling`).
- In training every batch is cut several times, on its device. There terms are kept by weight x worth, where the worth
  is the square root of the root mean square of the weight on the other side: of the covariance little more than the
  diagonal, for the price of a selection. Training through the pursuit itself, or with lengths by spread, found no more.

All of it is followed during training, as a batch norm follows its statistics, and belongs to the model. What is
followed are vectors as in use: with no token hidden, and of both looks where pictures are read mirrored too and towers
remembered. Phases whose towers learn have one look at a picture, often augmented, and follow that.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lexlip.errors import ModelError
from lexlip.index.term_covariance import TermCovariance

FOLLOWED_EVERY = 4  # steps: the eigenvectors of some hundred rows take milliseconds, on GPUs too
SLOWEST = 0.96  # share of the old statistics kept when new ones are taken, once there have been enough
LEAST_SHARE = 0.1  # of the mean worth of all terms: what a term keeps that the other side never had in training
RANK = 128  # of a factor; 64 lose a little recall, 1,024 gain none
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
    times_followed: Tensor

    def __init__(self, terms: int) -> None:
        super().__init__()
        for side in ("image", "text"):
            self.register_buffer(f"{side}_running_mean", torch.zeros(terms))
            self.register_buffer(f"{side}_running_square", torch.zeros(terms))
            self.register_buffer(f"{side}_factor", torch.zeros(terms, min(RANK, terms)))
        self.register_buffer("times_followed", torch.zeros((), dtype=torch.int64))
        self._covariances: dict[str, TermCovariance] = {}

    @torch.no_grad()
    def follow(self, own_units: tuple[Tensor, Tensor], shared_units: tuple[Tensor, Tensor]) -> None:
        """Takes in the vectors of one step: all count alike at first, later the old are slowly forgotten.

        A factor is kept to its rank by the leading directions of itself and the new rows: principal components of a
        stream that forgets (incremental SVD, Brand 2002).

        Args:
            own_units: [N, V] and [B, V], this worker's images and captions, for the means, which are then to be
                averaged over workers.
            shared_units: [P, V] each, the same rows on all workers, for the factors, which cannot be averaged.
        """
        fresh = (1.0 / (self.times_followed + 1)).clamp(min=1.0 - SLOWEST)
        with torch.autocast(self.times_followed.device.type, enabled=False):
            for side, own, shared_PV in zip(("image", "text"), own_units, shared_units, strict=True):
                self.get_buffer(f"{side}_running_mean").lerp_(own.mean(dim=0), fresh)
                self.get_buffer(f"{side}_running_square").lerp_(own.square().mean(dim=0), fresh)
                factor_VR = self.get_buffer(f"{side}_factor")
                factor_VR.copy_(_leading_directions(factor_VR, shared_PV, fresh))
        self.times_followed += 1
        self._covariances.clear()

    def worth_of_image_terms(self) -> Tensor:
        """[V] the worth of each term in a vector of an image."""
        return _worth(self.text_running_square)

    def worth_of_text_terms(self) -> Tensor:
        """[V] the worth of each term in a vector of a text."""
        return _worth(self.image_running_square)

    def covariance(self, side: str) -> TermCovariance:
        """Of the vectors of a side, "image" or "text": vectors of the other side are cut by it.

        Raises:
            ModelError: the statistics are not finite.
        """
        if side not in self._covariances:
            factor_VR, rest_V = self.get_buffer(f"{side}_factor"), self._rest(side)
            usual_spread = self._usual_spread(side)
            if not all(found.isfinite().all() for found in (factor_VR, rest_V, usual_spread)):
                raise ModelError(
                    f"statistics of {side} terms that are not finite; the model's training went wrong, take an earlier "
                    "checkpoint"
                )
            # Copies: what was given out stays as it is when training goes on.
            self._covariances[side] = TermCovariance(
                factor_VR.cpu().numpy().copy(), rest_V.cpu().numpy(), usual_spread.item()
            )
        return self._covariances[side]

    @torch.no_grad()
    def _usual_spread(self, side: str) -> Tensor:
        """Root mean square of |factor.T @ w| over the other side's vectors w, from the means and covariance of these.

        Terms of the other side vary by a factor and a diagonal around their mean: each adds its part.
        """
        other = "text" if side == "image" else "image"
        factor_VR, other_factor_VR = self.get_buffer(f"{side}_factor"), self.get_buffer(f"{other}_factor")
        around_mean = (factor_VR.T @ other_factor_VR).square().sum() + factor_VR.square().sum(dim=1) @ self._rest(other)
        return (around_mean + (factor_VR.T @ self.get_buffer(f"{other}_running_mean")).square().sum()).sqrt()

    def _rest(self, side: str) -> Tensor:
        """[V] what the factor does not say of the variance of each term."""
        mean_V, square_V = self.get_buffer(f"{side}_running_mean"), self.get_buffer(f"{side}_running_square")
        return (square_V - mean_V.square() - self.get_buffer(f"{side}_factor").square().sum(dim=1)).clamp(min=0)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._covariances.clear()


def _leading_directions(factor_VR: Tensor, rows_PV: Tensor, fresh: Tensor) -> Tensor:
    """[V, R]: a factor of what the old one says and, for the share `fresh`, of the new rows' covariance."""
    around_mean_PV = (rows_PV - rows_PV.mean(dim=0)) * (fresh / len(rows_PV)).sqrt()
    both_SV = torch.cat([factor_VR.T * (1 - fresh).sqrt(), around_mean_PV])
    # A step that went wrong is for the run to stop, in its own words; eigenvectors of it there are none.
    products_SS = (both_SV @ both_SV.T).double().nan_to_num(0.0, 0.0, 0.0)
    leading_SR = torch.linalg.eigh(products_SS).eigenvectors[:, -factor_VR.shape[1] :]
    return both_SV.T @ leading_SR.float()


def _worth(mean_square_V: Tensor) -> Tensor:
    worth_V = mean_square_V.sqrt().sqrt()
    # Images and questions of other data may well have a term that training never saw on one side.
    followed_V = worth_V.clamp(min=LEAST_SHARE * worth_V.mean())
    return torch.where(worth_V.amax() > 0, followed_V, torch.ones_like(worth_V))
