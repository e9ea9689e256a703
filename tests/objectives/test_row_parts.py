"""Batches in parts against batches as a whole: losses, gradients, and what is computed when."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.model.term_statistics import TermStatistics
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.cut_contrastive import CutContrastive
from lexlip.objectives.distillation import Distillation
from lexlip.objectives.flops import Flops
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumEncoder, MomentumSettings
from lexlip.objectives.row_parts import in_parts
from lexlip.objectives.term_cut import TermCut
from lexlip.objectives.views import Batch
from lexlip.training.phases import Phase
from lexlip.training.step import PhaseLoss

COMMON: dict[str, Any] = {"epochs": 1, "batch": 8, "image_size": 64}
ALL_OBJECTIVES = Phase(
    "all",
    (
        SelfMaskedLM(),
        TextBottleneck(),
        ImageBottleneck(),
        InBatchContrastive(),
        MomentumContrastive(),
        CutContrastive((TermCut(20, 10),)),
        Distillation((TermCut(20, 10),)),
        Flops(0.1),
    ),
    momentum=MomentumSettings(queue=20),
    **COMMON,
)
DENSE = Phase("dense", (InBatchContrastive(), MomentumContrastive()), momentum=MomentumSettings(queue=20), **COMMON)


def losses_and_gradients(
    model: LexLIP | DenseCLIP, phase: Phase, batch: Batch, teacher: DenseCLIP | None = None
) -> dict[str, Tensor]:
    """Of the second pass, when the queues are filled; the model has no dropout."""
    width = len(model.vocabulary) if isinstance(model, LexLIP) else 16
    momentum = MomentumEncoder(model, phase.momentum or MomentumSettings(), width).eval()
    loss = PhaseLoss(model, phase, steps=8)
    for _ in range(2):
        total, parts = loss(batch, 4, momentum, teacher)
    model.zero_grad()
    total.backward()
    gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    return parts | gradients


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_a_lexicon_model_gets_the_losses_and_gradients_of_the_whole_batch(
    lexlip: LexLIP, clip: DenseCLIP, batch: Batch, rows: int
) -> None:
    whole = losses_and_gradients(lexlip, ALL_OBJECTIVES, batch, clip)
    # The worth of terms is followed from step to step, and has to start from the same.
    lexlip.term_statistics = TermStatistics(len(lexlip.vocabulary))
    parts = losses_and_gradients(lexlip, replace(ALL_OBJECTIVES, rows_at_once=rows), batch, clip)
    assert parts.keys() == whole.keys()
    for name, expected in whole.items():
        torch.testing.assert_close(parts[name], expected, rtol=1e-4, atol=1e-5, msg=name)
    assert sum(name.startswith("decoder") for name in whole) > 10  # objectives of every kind took part


def test_a_dense_model_gets_them_too(clip: DenseCLIP, batch: Batch) -> None:
    whole = losses_and_gradients(clip, DENSE, batch)
    parts = losses_and_gradients(clip, replace(DENSE, rows_at_once=3), batch)
    for name, expected in whole.items():
        torch.testing.assert_close(parts[name], expected, rtol=1e-4, atol=1e-5, msg=name)


def test_losses_of_small_batches_would_not_give_them(clip: DenseCLIP, batch: Batch) -> None:
    whole = losses_and_gradients(clip, DENSE, batch)
    halves = []
    for rows in (slice(0, 4), slice(4, 8)):
        captions = slice(2 * rows.start, 2 * rows.stop)
        part = {name: value[captions if name.endswith(("BL", "_B")) else rows] for name, value in vars(batch).items()}
        halves.append(losses_and_gradients(clip, DENSE, Batch(**part)))
    name = "image_projection.weight"
    assert not torch.allclose((halves[0][name] + halves[1][name]) / 2, whole[name], rtol=0.01)


def test_dropout_is_the_same_in_both_computations() -> None:
    tower = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5), nn.Linear(6, 3))
    rows = torch.randn(7, 6)
    gradients = []
    for joined in (lambda: in_parts(tower, 3, rows), lambda: torch.cat([tower(part) for part in rows.split(3)])):
        torch.manual_seed(5)
        gradients.append(torch.autograd.grad(joined().square().sum(), list(tower.parameters())))
    for ours, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, expected)


def test_each_part_is_computed_again_when_its_gradient_is_known() -> None:
    sizes: list[int] = []

    def function(rows: Tensor) -> Tensor:
        sizes.append(len(rows))
        return rows.exp()

    rows = torch.randn(7, 2, requires_grad=True)
    joined = in_parts(function, 3, rows)
    assert sizes == [3, 3, 1]
    (gradient,) = torch.autograd.grad(joined.sum(), rows)
    assert sorted(sizes) == [1, 1, 3, 3, 3, 3]
    torch.testing.assert_close(gradient, rows.detach().exp())


def test_without_gradients_nothing_is_computed_twice() -> None:
    sizes: list[int] = []

    def function(rows: Tensor) -> Tensor:
        sizes.append(len(rows))
        return 2 * rows

    rows = torch.randn(7, 2)
    with torch.no_grad():
        torch.testing.assert_close(in_parts(function, 3, rows), 2 * rows)
    assert sizes == [3, 3, 1]
