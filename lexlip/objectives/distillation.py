"""Learning from a dense teacher: its scores between all images and captions of a batch, as soft targets.

Shapes: N images and B captions of this worker; K keys of all workers; Q queries; X vector width, of teacher or student.

Contrastive learning knows one right answer and calls all others equally wrong. A dense model trained on the same pairs
knows better which of the others are nearly right, learns faster than a lexicon, and passes that on: for each query the
student's distribution over the batch follows the teacher's (Hinton et al. 2015), whole and cut alike.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from lexlip.errors import ModelError
from lexlip.objectives.contrastive import scores
from lexlip.objectives.gathering import gather_keys, gather_rows, part_of_mean
from lexlip.objectives.term_cut import USUAL_CUTS, TermCut
from lexlip.objectives.views import Views
from lexlip.settings_text import ADDED_LATER


@dataclass(frozen=True)
class Taught:
    """What a teacher thinks of a batch: logarithms of its distributions over the keys of all workers.

    Attributes:
        of_images_NK: over all captions, for each image of this worker.
        of_texts_BK: over all images, for each caption.
    """

    of_images_NK: Tensor
    of_texts_BK: Tensor

    @classmethod
    def by(cls, images_NX: Tensor, texts_BX: Tensor, temperature: Tensor | float) -> "Taught":
        """From the teacher's vectors of this worker's rows, of unit length and without gradient."""
        return cls(
            scores(images_NX, gather_keys(texts_BX), temperature).log_softmax(dim=1),
            scores(texts_BX, gather_keys(images_NX), temperature).log_softmax(dim=1),
        )


def distillation_loss(images_NX: Tensor, texts_BX: Tensor, temperature: float, taught: Taught) -> Tensor:
    """Mean over queries of KL(teacher || student), of both directions.

    Args:
        images_NX, texts_BX: this worker's vectors of the student, of unit length.
        temperature: divides the student's scores.
        taught: the teacher's distributions for the same rows.

    Returns:
        This worker's part; the mean over workers is the loss of the whole batch.
    """
    loss = images_NX.new_zeros(())
    directions = (images_NX, texts_BX, taught.of_images_NK), (texts_BX, images_NX, taught.of_texts_BK)
    for queries_QX, keys_X, teacher_QK in directions:
        student_QK = scores(queries_QX, gather_rows(keys_X), temperature).log_softmax(dim=1)
        divergence = functional.kl_div(student_QK, teacher_QK, log_target=True, reduction="sum")
        loss = loss + 0.5 * part_of_mean(divergence, torch.tensor(len(queries_QX), device=loss.device))
    return loss


@dataclass(frozen=True)
class Distillation:
    """A lexicon model follows a dense teacher, with whole vectors and at each of several cuts.

    Attributes:
        cuts: name those that will be indexed and asked.
        weight: of the loss of whole vectors.
        cut_weight: of the mean over the cuts; None for the same.
        temperature: divides the student's scores; the teacher's own, learned one divides its scores.
    """

    cuts: tuple[TermCut, ...] = USUAL_CUTS
    weight: float = 1.0
    cut_weight: float | None = field(default=None, metadata=ADDED_LATER)
    temperature: float = 0.05
    follows_teacher: ClassVar[bool] = True  # the phase needs one

    def __post_init__(self) -> None:
        if not self.cuts:
            raise ModelError("Distillation: cuts needs at least one TermCut")

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"distillation": scalar, "cut_distillation": scalar}."""
        taught = Taught.by(*views.teacher_unit_vectors, views.dense_teacher.temperature().detach())
        whole = distillation_loss(views.image_unit_vectors_NX, views.text_unit_vectors_BX, self.temperature, taught)
        cut_weight = self.weight if self.cut_weight is None else self.cut_weight
        cut = [distillation_loss(*views.cut_unit_vectors(cut), self.temperature, taught) for cut in self.cuts]
        return {
            "distillation": self.weight * whole,
            "cut_distillation": cut_weight * torch.stack(cut).mean(),
        }
