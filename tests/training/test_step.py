"""One phase of training: it learns, it freezes what it should, and it goes on exactly where it stopped."""

import copy
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lexlip.data.examples import ExampleSettings
from lexlip.errors import ModelError
from lexlip.model.building import ModelSettings, build_clip, build_lexlip
from lexlip.model.clip import DenseCLIP
from lexlip.model.image_tower import ImageTowerConfig
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.cut_contrastive import CutContrastive
from lexlip.objectives.distillation import Distillation
from lexlip.objectives.momentum import MomentumContrastive
from lexlip.objectives.term_cut import TermCut
from lexlip.objectives.views import Batch
from lexlip.training.phases import Phase
from lexlip.training.step import PhaseTrainer, image_key, to_batch
from lexlip.vocabulary import Vocabulary

BatchOf = Callable[[int], Batch]
Make = Callable[[], LexLIP | DenseCLIP]


@pytest.fixture(params=["lexlip", "clip"])
def make(request: pytest.FixtureRequest, tiny_model_settings: ModelSettings, vocabulary: Vocabulary) -> Make:
    """Makes the same model again and again."""

    def build() -> LexLIP | DenseCLIP:
        torch.manual_seed(0)
        return (build_lexlip if request.param == "lexlip" else build_clip)(tiny_model_settings, vocabulary)

    return build


def dense_or(model: LexLIP | DenseCLIP, phase: Phase) -> Phase:
    """The phase, with objectives that a dense model has."""
    if isinstance(model, LexLIP):
        return phase
    return replace(phase, objectives=((MomentumContrastive if phase.momentum else InBatchContrastive)(),))


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_loss_of_a_fixed_batch_falls(
    make: Make, bottleneck_phase: Phase, momentum_phase: Phase, batch_of: BatchOf
) -> None:
    model = make()
    for phase in (bottleneck_phase, replace(momentum_phase, half_resolution_share=0.0)):
        trainer = PhaseTrainer(model, dense_or(model, phase), steps=30, seed=0)
        losses = [trainer.step(batch_of(0))["loss"].item() for _ in range(12)]
        assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def test_parts_add_up_to_the_loss_and_health_is_watched(
    tiny_model_settings: ModelSettings, vocabulary: Vocabulary, bottleneck_phase: Phase, batch_of: BatchOf
) -> None:
    trainer = PhaseTrainer(build_lexlip(tiny_model_settings, vocabulary), bottleneck_phase, steps=10, seed=0)
    watched = trainer.step(batch_of(0))
    parts = ("self_masked_lm", "text_bottleneck", "image_bottleneck", "contrastive", "flops_image", "flops_text")
    assert watched["loss"].item() == pytest.approx(sum(watched[name].item() for name in parts), rel=1e-5)
    assert 0 <= watched["in_batch_recall"].item() <= 1
    assert 0 < watched["image_terms"].item() < len(vocabulary)
    assert watched["gradient_norm"].item() > 0
    assert not any(value.requires_grad for value in watched.values())


def test_what_is_frozen_stays_and_everything_else_learns(make: Make, momentum_phase: Phase, batch_of: BatchOf) -> None:
    model = make()
    phase = replace(dense_or(model, momentum_phase), frozen_image_stages=2, frozen_text_layers=1)
    frozen = {f"image_tower.backbone.{name}" for stage in model.image_tower.stages()[:2] for name in stage}
    frozen |= {name for name in dict(model.named_parameters()) if name.startswith("text_tower.encoder.embeddings")}
    before = weights_of(model)
    trainer = PhaseTrainer(model, phase, steps=4, seed=0)
    for number in range(2):
        trainer.step(batch_of(number))
    for name, value in model.named_parameters():
        unused = name.startswith("decoder")  # of masked-LM objectives only
        assert torch.equal(value, before[name]) == (name in frozen or unused), name


def test_frozen_statistics_of_batch_norms_stay(
    tiny_model_settings: ModelSettings, vocabulary: Vocabulary, bottleneck_phase: Phase, batch_of: BatchOf
) -> None:
    settings = replace(tiny_model_settings, image=ImageTowerConfig("test_resnet", 64))
    for freeze in (True, False):
        model = build_lexlip(settings, vocabulary)
        buffers = model.image_tower.named_buffers(prefix="image_tower")
        statistics = {name: value.clone() for name, value in buffers if "running" in name}
        assert statistics
        trainer = PhaseTrainer(model, replace(bottleneck_phase, freeze_batch_norm=freeze), steps=4, seed=0)
        trainer.step(batch_of(0))
        same = [torch.equal(value, statistics[name]) for name, value in model.named_buffers() if name in statistics]
        assert all(same) if freeze else not any(same)


def test_the_momentum_average_follows_after_every_step(make: Make, momentum_phase: Phase, batch_of: BatchOf) -> None:
    model = make()
    trainer = PhaseTrainer(model, dense_or(model, momentum_phase), steps=4, seed=0)
    assert trainer.momentum is not None
    before = copy.deepcopy(trainer.momentum.average)
    trainer.step(batch_of(0))
    now = dict(model.named_parameters())
    old = dict(before.named_parameters())
    for name, average in trainer.momentum.average.named_parameters():
        torch.testing.assert_close(average, 0.9 * old[name] + 0.1 * now[name].detach())
    assert trainer.momentum.image_queue.cursor.item() == trainer.momentum.text_queue.cursor.item() == 8


def test_a_resumed_phase_goes_on_bit_by_bit(make: Make, momentum_phase: Phase, batch_of: BatchOf) -> None:
    phase = replace(dense_or(make(), momentum_phase), rows_at_once=5)
    if isinstance(make(), LexLIP):
        phase = replace(phase, objectives=(*phase.objectives, CutContrastive((TermCut(20, 10), TermCut(5, 3)))))
    steady = PhaseTrainer(make(), phase, steps=6, seed=3)
    steady.step(batch_of(0))
    steady.step(batch_of(1))
    file = io.BytesIO()
    torch.save(steady.state_dict(), file)
    file.seek(0)
    resumed = PhaseTrainer(make(), phase, steps=6, seed=3)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    torch.rand(100)  # whatever else drew random numbers meanwhile
    for number in (2, 3, 4):
        ours, theirs = resumed.step(batch_of(number)), steady.step(batch_of(number))
        assert {name: value.item() for name, value in ours.items()} == {n: v.item() for n, v in theirs.items()}
    for name, value in steady.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("image", "pixels_seen"),
    [
        (ImageTowerConfig("test_vit", 64), 32),
        (ImageTowerConfig("test_resnet", 64), 32),
        # Takes one size only: halved pictures are scaled up again, so that they lose detail all the same.
        (ImageTowerConfig("beit_base_patch16_224", 64, {"embed_dim": 32, "depth": 1, "num_heads": 2}), 64),
    ],
)
def test_half_resolution(
    image: ImageTowerConfig,
    pixels_seen: int,
    tiny_model_settings: ModelSettings,
    vocabulary: Vocabulary,
    momentum_phase: Phase,
    batch_of: BatchOf,
) -> None:
    model = build_clip(replace(tiny_model_settings, image=image), vocabulary)
    sizes: list[tuple[int, ...]] = []
    model.image_tower.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[-2:])))
    phase = replace(momentum_phase, half_resolution_share=1.0)
    PhaseTrainer(model, phase, steps=4, seed=0).step(batch_of(0))
    assert set(sizes) == {(pixels_seen, pixels_seen)}  # of the model and of its momentum average
    sizes.clear()
    PhaseTrainer(model, replace(phase, half_resolution_share=0.0), steps=4, seed=0).step(batch_of(0))
    assert set(sizes) == {(64, 64)}


def test_a_phase_at_higher_resolution_keeps_what_was_learned(
    make: Make, momentum_phase: Phase, scenes: object, batch_of: BatchOf
) -> None:
    model = make()
    trainer = PhaseTrainer(model, replace(dense_or(model, momentum_phase), image_size=96), steps=4, seed=0)
    assert model.preprocessing.size == 96
    batch = batch_of(0)
    larger = torch.nn.functional.interpolate(batch.pixels_N3SS.float(), size=(96, 96))
    trainer.step(replace(batch, pixels_N3SS=larger))
    assert trainer.momentum is not None
    assert trainer.momentum.average.preprocessing.size == 96


def test_captions_longer_than_the_text_tower_reads_are_refused(make: Make, bottleneck_phase: Phase) -> None:
    model = make()
    phase = replace(dense_or(model, bottleneck_phase), examples=ExampleSettings(text_tokens=65))
    with pytest.raises(ModelError, match=r"65 text tokens.*64 positions"):
        PhaseTrainer(model, phase, steps=1, seed=0)


def test_examples_without_captions_are_refused(make: Make, bottleneck_phase: Phase) -> None:
    model = make()
    phase = replace(dense_or(model, bottleneck_phase), examples=ExampleSettings(captions_per_image=0))
    with pytest.raises(ModelError, match="captions_per_image must be at least 1"):
        PhaseTrainer(model, phase, steps=1, seed=0)


def test_a_dense_model_has_no_terms_to_cut(
    tiny_model_settings: ModelSettings, vocabulary: Vocabulary, momentum_phase: Phase, batch_of: BatchOf
) -> None:
    phase = replace(momentum_phase, objectives=(CutContrastive(),))
    with pytest.raises(ModelError, match="needs a lexicon model, not 'clip'"):
        PhaseTrainer(build_clip(tiny_model_settings, vocabulary), phase, 1, 0).step(batch_of(0))


@pytest.mark.parametrize("setting", [{"rows_at_once": 4}, {"checkpoint_activations": True}])
def test_batch_norms_that_learn_statistics_are_not_computed_in_parts(
    setting: dict, tiny_model_settings: ModelSettings, vocabulary: Vocabulary, momentum_phase: Phase
) -> None:
    model = build_clip(replace(tiny_model_settings, image=ImageTowerConfig("test_resnet", 64)), vocabulary)
    with pytest.raises(ModelError, match="set freeze_batch_norm"):
        PhaseTrainer(model, replace(momentum_phase, **setting), steps=1, seed=0)
    PhaseTrainer(model, replace(momentum_phase, freeze_batch_norm=True, **setting), steps=1, seed=0)


def test_checkpointed_activations_change_no_gradient(make: Make, bottleneck_phase: Phase, batch_of: BatchOf) -> None:
    calls: list[torch.Size] = []
    gradients = []
    for on in (False, True):
        model = make()
        phase = replace(dense_or(model, bottleneck_phase), checkpoint_activations=on)
        trainer = PhaseTrainer(model, phase, steps=2, seed=0)
        calls.clear()
        blocks = (model.image_tower.backbone.blocks[0].mlp, model.text_tower.layers()[-1].output)
        for block in blocks:
            block.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].shape))
        trainer.step(batch_of(0))
        gradients.append({name: value.grad for name, value in model.named_parameters() if value.grad is not None})
        if not on:
            kept = len(calls)
    assert len(calls) == 2 * kept > 0  # every block once more, in the backward pass
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, msg=name)


def test_examples_become_a_batch_cut_to_its_longest_caption() -> None:
    token_ids = np.zeros((2, 2, 6), np.int32)
    token_ids[0, 1, :4] = [2, 8, 9, 3]
    token_ids[1, 0, :3] = [2, 7, 3]
    examples = {
        "image_id": np.array(["a", "b"]),
        "pixels": np.zeros((2, 3, 4, 4), np.uint8),
        "token_ids": token_ids,
        "encoder_masked_ids": token_ids + 1,
        "encoder_labels": token_ids - 100,
        "decoder_masked_ids": token_ids + 2,
        "decoder_labels": token_ids - 200,
    }
    batch = to_batch(examples, pad_id=0, device="cpu")
    assert batch.token_ids_BL.tolist() == [[0, 0, 0, 0], [2, 8, 9, 3], [2, 7, 3, 0], [0, 0, 0, 0]]
    for name, shift in (
        ("encoder_masked_ids", 1),
        ("encoder_labels", -100),
        ("decoder_masked_ids", 2),
        ("decoder_labels", -200),
    ):
        assert torch.equal(getattr(batch, f"{name}_BL"), batch.token_ids_BL + shift)
    assert batch.image_keys_N.tolist() == [image_key("a"), image_key("b")]
    assert batch.caption_keys_B.tolist() == [image_key(name) for name in ("a", "a", "b", "b")]


def test_image_keys_are_stable_and_never_the_mark_of_an_empty_queue_entry() -> None:
    keys = {image_key(f"photo {number}.jpg") for number in range(1000)}
    assert len(keys) == 1000
    assert min(keys) >= 0
    assert image_key("photo 7.jpg") in keys


def test_a_phase_that_follows_a_teacher_learns_from_a_copy_at_its_own_resolution(
    tiny_model_settings: ModelSettings, vocabulary: Vocabulary, bottleneck_phase: Phase, batch_of: BatchOf
) -> None:
    torch.manual_seed(0)
    objectives = (Distillation((TermCut(20, 10),)),)
    phase = replace(bottleneck_phase, objectives=objectives)
    larger = replace(tiny_model_settings.preprocessing, size=96)
    settings = replace(
        tiny_model_settings, image=replace(tiny_model_settings.image, image_size=96), preprocessing=larger
    )
    teacher = build_clip(settings, vocabulary).eval().requires_grad_(False)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    trainer = PhaseTrainer(build_lexlip(tiny_model_settings, vocabulary), phase, steps=30, seed=0, teacher=teacher)
    batch = batch_of(0)
    losses = [trainer.step(batch)["loss"].item() for _ in range(30)]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert trainer.teacher is not None
    assert (trainer.teacher.preprocessing.size, teacher.preprocessing.size) == (phase.image_size, 96)
    # A phase without such an objective leaves the teacher alone.
    other = PhaseTrainer(build_lexlip(tiny_model_settings, vocabulary), bottleneck_phase, 4, 0, teacher)
    assert other.teacher is None
