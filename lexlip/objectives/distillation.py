"""Learning from a dense teacher: its scores between all images and captions of a batch, as soft targets.

Shapes: N images and B captions of this worker; K keys of all workers; Q queries; X vector width, of teacher or student.

Contrastive learning knows one right answer and calls all others equally wrong. A dense model trained on the same pairs
knows better which of the others are nearly right, learns faster than a lexicon, and passes that on: for each query the
student's distribution over the batch follows the teacher's (Hinton et al. 2015), whole and cut alike.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lexlip.errors import ModelError
from lexlip.objectives.contrastive import scores
from lexlip.objectives.gathering import gather_keys, gather_rows, part_of_mean
from lexlip.objectives.term_cut import USUAL_CUTS, TermCut
from lexlip.objectives.views import Views


def distillation_loss(
    images_NX: Tensor,
    texts_BX: Tensor,
    temperature: float,
    teacher_images_NX: Tensor,
    teacher_texts_BX: Tensor,
    teacher_temperature: Tensor | float,
) -> Tensor:
    """Mean over queries of KL(teacher || student) between distributions over the keys of all workers, both directions.

    Args:
        images_NX, texts_BX: this worker's vectors of the student, of unit length.
        temperature: divides the student's scores.
        teacher_images_NX, teacher_texts_BX: the teacher's of the same rows, without gradient.
        teacher_temperature: divides the teacher's scores.

    Returns:
        This worker's part; the mean over workers is the loss of the whole batch.
    """
    loss = images_NX.new_zeros(())
    sides = (images_NX, teacher_images_NX), (texts_BX, teacher_texts_BX)
    for (queries_QX, teacher_queries_QX), (keys_X, teacher_keys_X) in (sides, sides[::-1]):
        student_QK = scores(queries_QX, gather_rows(keys_X), temperature).log_softmax(dim=1)
        teacher_QK = scores(teacher_queries_QX, gather_keys(teacher_keys_X), teacher_temperature).log_softmax(dim=1)
        divergence = functional.kl_div(student_QK, teacher_QK, log_target=True, reduction="sum")
        loss = loss + 0.5 * part_of_mean(divergence, torch.tensor(len(queries_QX), device=loss.device))
    return loss


@dataclass(frozen=True)
class Distillation:
    """A lexicon model follows a dense teacher, with whole vectors and at each of several cuts.

    Attributes:
        cuts: name those that will be indexed and asked.
        weight: of the loss of whole vectors, and of the mean over the cuts.
        temperature: divides the student's scores; the teacher's own, learned one divides its scores.
    """

    cuts: tuple[TermCut, ...] = USUAL_CUTS
    weight: float = 1.0
    temperature: float = 0.05

    def __post_init__(self) -> None:
        if not self.cuts:
            raise ModelError("Distillation: cuts needs at least one TermCut")

    def __call__(self, views: Views) -> dict[str, Tensor]:
        """{"distillation": scalar, "cut_distillation": scalar}."""
        taught = (*views.teacher_unit_vectors, views.dense_teacher.temperature().detach())
        whole = distillation_loss(views.image_unit_vectors_NX, views.text_unit_vectors_BX, self.temperature, *taught)
        cut = [distillation_loss(*views.cut_unit_vectors(cut), self.temperature, *taught) for cut in self.cuts]
        return {"distillation": self.weight * whole, "cut_distillation": self.weight * torch.stack(cut).mean()}
