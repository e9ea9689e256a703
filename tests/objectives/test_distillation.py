"""Learning from a dense teacher, against a plain loop over queries."""

import math

import pytest
import torch
from torch import Tensor

from lexlip.errors import ModelError
from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.distillation import Distillation, Taught, distillation_loss
from lexlip.objectives.term_cut import TermCut
from lexlip.objectives.views import Batch, Views, normalised


def loop_divergence(student_QK: Tensor, teacher_QK: Tensor) -> float:
    """Mean over rows of the sum of p log(p / q)."""
    total = 0.0
    for student_K, teacher_K in zip(student_QK.tolist(), teacher_QK.tolist(), strict=True):
        student = [math.exp(score) for score in student_K]
        teacher = [math.exp(score) for score in teacher_K]
        for one, other in zip(teacher, student, strict=True):
            share = one / sum(teacher)
            total += share * math.log(share / (other / sum(student)))
    return total / len(student_QK)


def unit_rows(rows: int, width: int, seed: int) -> Tensor:
    return normalised(torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)))


def test_the_loss_is_the_mean_divergence_of_both_directions() -> None:
    images, texts, teacher_images, teacher_texts = (
        unit_rows(rows, width, seed) for seed, (rows, width) in enumerate([(3, 9), (6, 9), (3, 5), (6, 5)])
    )
    found = distillation_loss(images, texts, 0.5, Taught.by(teacher_images, teacher_texts, 0.2))
    student_BN, teacher_BN = texts @ images.T / 0.5, teacher_texts @ teacher_images.T / 0.2
    expected = 0.5 * (loop_divergence(student_BN, teacher_BN) + loop_divergence(student_BN.T, teacher_BN.T))
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_a_student_that_scores_as_its_teacher_has_nothing_to_learn() -> None:
    images, texts = unit_rows(4, 6, 0).requires_grad_(), unit_rows(5, 6, 1)
    loss = distillation_loss(images, texts, 0.3, Taught.by(images.detach(), texts, 0.3))
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, images)
    assert gradient.abs().max() < 1e-6


def test_whole_vectors_and_cuts_follow_the_teacher(lexlip: LexLIP, clip: DenseCLIP, batch: Batch) -> None:
    views = Views(lexlip, batch, 1.0, teacher=clip)
    cuts = (TermCut(5, 3), TermCut(9, 2))
    found = Distillation(cuts, weight=2.0, cut_weight=3.0, temperature=0.1)(views)
    with torch.no_grad():
        taught = Taught.by(
            normalised(clip.image_vectors(batch.pixels_N3SS)),
            normalised(clip.text_vectors(batch.token_ids_BL)),
            clip.temperature(),
        )
    whole = distillation_loss(views.image_unit_vectors_NX, views.text_unit_vectors_BX, 0.1, taught)
    cut = [distillation_loss(*views.cut_unit_vectors(cut), 0.1, taught) for cut in cuts]
    torch.testing.assert_close(found["distillation"], 2.0 * whole)
    torch.testing.assert_close(found["cut_distillation"], 1.5 * (cut[0] + cut[1]))
    sum(found.values()).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is None for parameter in clip.parameters())
    assert lexlip.image_head.projection.grad is not None


def test_without_teacher_or_cuts_it_says_so(lexlip: LexLIP, batch: Batch) -> None:
    with pytest.raises(ModelError, match="needs a dense teacher"):
        Distillation()(Views(lexlip, batch, 0.0))
    with pytest.raises(ModelError, match="at least one TermCut"):
        Distillation(cuts=())
