"""Frozen towers are asked once for each picture and caption; what learns from the memory learns the same."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lexlip.errors import ModelError
from lexlip.model.building import ModelSettings, build_clip, build_lexlip
from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.distillation import Distillation
from lexlip.objectives.momentum import MomentumSettings
from lexlip.objectives.term_cut import TermCut
from lexlip.objectives.token_dropout import TokenDropout
from lexlip.objectives.tower_memory import TowerMemory
from lexlip.objectives.views import Batch, Views, normalised
from lexlip.training.phases import OptimiserSettings, Phase
from lexlip.training.step import PhaseTrainer
from lexlip.vocabulary import Vocabulary

ALL = 100  # more stages and layers than the tiny towers have
HALF_PRECISION = 2e-3

BatchOf = Callable[[int], Batch]


@pytest.fixture
def heads_phase(bottleneck_phase: Phase) -> Phase:
    """Heads alone, with a teacher, on towers that are remembered."""
    return replace(
        bottleneck_phase,
        objectives=(InBatchContrastive(), Distillation((TermCut(20, 10),))),
        frozen_image_stages=ALL,
        frozen_text_layers=ALL,
        freeze_batch_norm=True,
        remember_towers=True,
    )


@pytest.fixture
def model(tiny_model_settings: ModelSettings, vocabulary: Vocabulary) -> LexLIP:
    torch.manual_seed(0)
    return build_lexlip(tiny_model_settings, vocabulary)


def teacher_of(model: LexLIP, settings: ModelSettings, vocabulary: Vocabulary, towers_of_teacher: bool) -> DenseCLIP:
    """A teacher with towers of its own, or one whose towers the model takes; both are frozen."""
    teacher = build_clip(settings, vocabulary).eval().requires_grad_(False)
    if towers_of_teacher:
        model.take_towers(teacher)
    model.eval().requires_grad_(False)
    return teacher


@pytest.mark.parametrize("towers_of_teacher", [False, True])
def test_what_is_remembered_is_what_the_towers_say_whatever_batch_it_came_in(
    model: LexLIP,
    tiny_model_settings: ModelSettings,
    vocabulary: Vocabulary,
    batch_of: BatchOf,
    towers_of_teacher: bool,
) -> None:
    teacher = teacher_of(model, tiny_model_settings, vocabulary, towers_of_teacher)
    memory = TowerMemory(model, teacher)
    assert memory.on_teachers_towers == towers_of_teacher
    memory.recall(batch_of(0))
    batch = mixed(batch_of(0), batch_of(1))
    remembered = Views(model, batch, 0.0, teacher=teacher, remembered=memory.recall(batch))
    computed = Views(model, batch, 0.0, teacher=teacher)
    assert torch.allclose(remembered.image_pooled_NV, computed.image_pooled_NV, atol=HALF_PRECISION)
    assert torch.allclose(remembered.text_pooled_BV, computed.text_pooled_BV, atol=HALF_PRECISION)
    for mine, theirs in zip(remembered.teacher_unit_vectors, computed.teacher_unit_vectors, strict=True):
        assert torch.allclose(mine, theirs, atol=HALF_PRECISION)


def test_whose_towers_they_are_is_found_out_when_the_weights_of_a_checkpoint_are_there(
    model: LexLIP, tiny_model_settings: ModelSettings, vocabulary: Vocabulary, batch_of: BatchOf
) -> None:
    teacher = build_clip(tiny_model_settings, vocabulary).eval().requires_grad_(False)
    learned = copy.deepcopy(model.state_dict())
    model.take_towers(teacher)
    memory = TowerMemory(model.eval().requires_grad_(False), teacher)
    model.load_state_dict(learned)
    batch = batch_of(0)

    recalled = memory.recall(batch)

    assert not memory.on_teachers_towers
    assert recalled.teacher_vectors is not None
    torch.testing.assert_close(
        recalled.teacher_vectors[0], normalised(teacher.image_vectors(batch.pixels_N3SS)), rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize("towers_of_teacher", [False, True])
def test_a_model_that_reads_pictures_mirrored_too_learns_from_either_look_and_its_teacher_from_both(
    model: LexLIP,
    tiny_model_settings: ModelSettings,
    vocabulary: Vocabulary,
    batch_of: BatchOf,
    towers_of_teacher: bool,
) -> None:
    teacher = teacher_of(model, tiny_model_settings, vocabulary, towers_of_teacher)
    model.preprocessing = replace(model.preprocessing, mirrored=True)
    memory, batch = TowerMemory(model, teacher), batch_of(0)
    looks = [model.image_tokens(pixels) for pixels in (batch.pixels_N3SS, batch.pixels_N3SS.flip(-1))]
    both = [normalised(teacher.image_vectors(pixels)) for pixels in (batch.pixels_N3SS, batch.pixels_N3SS.flip(-1))]

    drawn = []
    for seed in range(8):
        torch.manual_seed(seed)
        recalled = memory.recall(batch)
        is_look = [
            [torch.allclose(tokens, look[row], atol=HALF_PRECISION) for look in looks]
            for row, tokens in enumerate(recalled.image_tokens_NTD)
        ]
        assert all(sum(matches) == 1 for matches in is_look)
        drawn.append([matches[1] for matches in is_look])
        assert recalled.teacher_vectors is not None
        assert torch.allclose(recalled.teacher_vectors[0], (both[0] + both[1]) / 2, atol=HALF_PRECISION)

    for looks_of_one in zip(*drawn, strict=True):
        assert len(set(looks_of_one)) == 2
    torch.manual_seed(7)
    assert torch.equal(recalled.image_tokens_NTD, memory.recall(batch).image_tokens_NTD)


def test_training_in_bfloat16_can_remember_too(
    model: LexLIP, tiny_model_settings: ModelSettings, vocabulary: Vocabulary, batch_of: BatchOf
) -> None:
    """As on GPUs: autocast has its own kind of half precision, and the memory another."""
    teacher = build_clip(tiny_model_settings, vocabulary).eval()
    memory = TowerMemory(model.eval(), teacher)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        first, again = memory.recall(batch_of(0)), memory.recall(batch_of(0))
    assert first.teacher_vectors is not None
    assert again.teacher_vectors is not None
    for one, other in zip(
        (first.image_tokens_NTD, first.text_states_BLD, *first.teacher_vectors),
        (again.image_tokens_NTD, again.text_states_BLD, *again.teacher_vectors),
        strict=True,
    ):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


def test_the_towers_are_asked_once_and_the_heads_learn(
    model: LexLIP,
    heads_phase: Phase,
    tiny_model_settings: ModelSettings,
    vocabulary: Vocabulary,
    batch_of: BatchOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher = build_clip(tiny_model_settings, vocabulary).eval().requires_grad_(False)
    trainer = PhaseTrainer(model, heads_phase, steps=30, seed=0, teacher=teacher)
    before = {name: value.clone() for name, value in model.image_tower.state_dict().items()}
    losses = [trainer.step(batch_of(0))["loss"].item()]
    assert trainer.teacher is not None
    for tower in (model.image_tower, model.text_tower, trainer.teacher.image_tower, trainer.teacher.text_tower):
        monkeypatch.setattr(tower, "forward", asked_again)
    losses += [trainer.step(batch_of(0))["loss"].item() for _ in range(29)]
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in model.image_tower.state_dict().items())
    with pytest.raises(AssertionError, match="asked again"):
        trainer.step(batch_of(1))


def test_a_dense_model_learns_its_projections_from_memory_as_without(
    heads_phase: Phase,
    tiny_model_settings: ModelSettings,
    vocabulary: Vocabulary,
    batch_of: BatchOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    losses = []
    for remember in (True, False):
        torch.manual_seed(0)
        phase = replace(heads_phase, objectives=(InBatchContrastive(),), remember_towers=remember)
        model = build_clip(tiny_model_settings, vocabulary)
        for tower in (model.image_tower, model.text_tower):
            for module in tower.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0  # remembered towers have none
        trainer = PhaseTrainer(model, phase, steps=6, seed=0)
        losses.append([trainer.step(batch_of(step))["loss"].item() for step in range(2)])
        if remember:
            for tower in (model.image_tower, model.text_tower):
                monkeypatch.setattr(tower, "forward", asked_again)
        losses[-1] += [trainer.step(batch_of(step % 2))["loss"].item() for step in range(4)]
    assert losses[0] == pytest.approx(losses[1], abs=HALF_PRECISION)
    assert losses[0][-1] < losses[0][0]


def test_towers_that_learn_or_pictures_that_vary_cannot_be_remembered(model: LexLIP, heads_phase: Phase) -> None:
    for changed in (
        {"frozen_image_stages": 0},
        {"frozen_text_layers": 1},
        {"half_resolution_share": 0.5},
        {"momentum": MomentumSettings(queue=16)},
        {"rows_at_once": 4},
        {"examples": replace(heads_phase.examples, augment=True)},
    ):
        phase = replace(heads_phase, objectives=(InBatchContrastive(),), **changed)
        with pytest.raises(ModelError, match="remember_towers needs"):
            PhaseTrainer(model, phase, steps=4, seed=0)


def test_heads_see_other_tokens_in_each_step_and_the_same_ones_when_a_step_is_repeated(
    model: LexLIP, heads_phase: Phase, tiny_model_settings: ModelSettings, vocabulary: Vocabulary, batch_of: BatchOf
) -> None:
    teacher = build_clip(tiny_model_settings, vocabulary).eval().requires_grad_(False)
    phase = replace(heads_phase, token_dropout=TokenDropout(), optimiser=OptimiserSettings(0.0, 0.0))
    losses = []
    for _ in range(2):
        trainer = PhaseTrainer(copy.deepcopy(model), phase, steps=4, seed=0, teacher=teacher)
        losses.append([trainer.step(batch_of(0))["contrastive"].item() for _ in range(3)])
    assert len(set(losses[0])) == 3
    assert losses[0] == losses[1]


def test_tokens_can_only_be_dropped_where_they_are_at_hand(model: LexLIP, heads_phase: Phase) -> None:
    phase = replace(
        heads_phase, objectives=(InBatchContrastive(),), remember_towers=False, token_dropout=TokenDropout()
    )
    with pytest.raises(ModelError, match="set remember_towers"):
        PhaseTrainer(model, phase, steps=4, seed=0)


def asked_again(*_: object) -> None:
    raise AssertionError("a tower was asked again")


def mixed(first: Batch, second: Batch) -> Batch:
    """The later half of one batch and the earlier half of another."""
    longest = max(first.token_ids_BL.shape[1], second.token_ids_BL.shape[1])
    values = {}
    for name, value in vars(first).items():
        parts = [value[4:], vars(second)[name][:4]]
        if name.endswith("_BL"):
            parts = [torch.nn.functional.pad(part, (0, longest - part.shape[1])) for part in parts]
        values[name] = torch.cat(parts)
    return Batch(**values)
