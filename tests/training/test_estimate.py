"""What a run will cost, against models that are really built."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from lexlip.errors import ModelError
from lexlip.model.building import ModelSettings, build_lexlip
from lexlip.objectives.caption_words import CaptionWords
from lexlip.objectives.momentum import MomentumSettings
from lexlip.training import estimate
from lexlip.training.estimate import estimate_run
from lexlip.training.phases import Phase
from lexlip.training.run import Run
from lexlip.training.runs import find_run
from lexlip.vocabulary import Vocabulary

TERMS = 300


@pytest.fixture
def run(tiny_model_settings: ModelSettings, bottleneck_phase: Phase) -> Run:
    return Run("tiny", "lexlip", tiny_model_settings, (bottleneck_phase,))


def estimated(run: Run, **changes: Any) -> estimate.PhaseEstimate:
    """The estimate of the run's only phase with some settings changed."""
    changed = replace(run, phases=(replace(run.phases[0], **changes),))
    return estimate_run(changed, TERMS, images=100, workers=1, half_precision=False).phases[0]


def test_parameters_are_those_of_the_model_and_tied_ones_count_once(run: Run, vocabulary: Vocabulary) -> None:
    model = build_lexlip(run.model, vocabulary)
    counted = estimate_run(run, len(vocabulary), 100, 1, False)
    assert sum(counted.parameters.values()) == sum(value.numel() for value in model.parameters())
    parts = {"image_tower", "text_tower", "text_head", "image_bridge", "image_head", "decoder"}
    assert set(counted.parameters) == parts
    assert counted.parameters["image_tower"] == sum(value.numel() for value in model.image_tower.parameters())


def test_what_is_kept_is_counted_without_numbers_about_as_with_them(run: Run, vocabulary: Vocabulary) -> None:
    model = build_lexlip(run.model, vocabulary).train()
    pixels = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    with torch.device("meta"):
        shapes = build_lexlip(run.model, vocabulary).train()
    expected = estimate._kept_bytes(model, lambda: model.image_vectors(pixels))
    found = estimate._kept_bytes(shapes, lambda: shapes.image_vectors(pixels.to("meta")))
    # Without numbers, attention takes the plain route, which keeps its scores; with them, the route that does not.
    assert 0 < expected <= found < 1.5 * expected


def test_steps_are_whole_batches_of_all_epochs(run: Run) -> None:
    assert estimated(run).steps == 12
    assert estimated(run, batch=32, epochs=5).steps == 15


def test_settings_change_memory_the_way_they_should(run: Run) -> None:
    whole, parts = estimated(run), estimated(run, rows_at_once=2)
    assert parts.activations_bytes < whole.activations_bytes
    assert estimated(run, checkpoint_activations=True).activations_bytes < whole.activations_bytes
    assert estimated(run, batch=16).activations_bytes == 2 * whole.activations_bytes
    assert estimated(run, rows_at_once=2, batch=16).activations_bytes == parts.activations_bytes
    assert estimated(run, objectives=(CaptionWords(),)).activations_bytes < whole.activations_bytes
    assert estimated(run, momentum=MomentumSettings(queue=50)).weights_bytes > whole.weights_bytes
    assert estimated(run, frozen_text_layers=1).learning < whole.learning
    half = estimate_run(run, TERMS, 100, 1, half_precision=True).phases[0]
    assert 2 * half.activations_bytes == pytest.approx(whole.activations_bytes, abs=2)
    assert half.weights_bytes == whole.weights_bytes
    assert whole.bytes == whole.weights_bytes + whole.activations_bytes + whole.vectors_bytes


def test_remembered_towers_take_memory_for_each_picture_and_caption(run: Run, vocabulary: Vocabulary) -> None:
    model = build_lexlip(run.model, vocabulary)
    tokens = model.image_tokens(torch.zeros(1, 3, 64, 64, dtype=torch.uint8)).numel()
    captions = 5 * run.phases[0].examples.text_tokens * model.text_tower.width
    counted = estimated(run, remember_towers=True, epochs=5, image_size=64)
    assert counted.remembered_bytes == 100 * 2 * (tokens + captions)
    assert counted.bytes - counted.remembered_bytes == estimated(run, epochs=5, image_size=64).bytes
    mirrored = replace(run.model, preprocessing=replace(run.model.preprocessing, mirrored=True))
    both_looks = estimated(replace(run, model=mirrored), remember_towers=True, epochs=5, image_size=64)
    assert both_looks.remembered_bytes == 100 * 2 * (2 * tokens + captions)


def test_workers_share_the_batch(run: Run) -> None:
    shared = estimate_run(run, TERMS, 100, 2, False).phases[0]
    assert shared.steps == estimated(run).steps
    assert 2 * shared.activations_bytes == pytest.approx(estimated(run).activations_bytes, abs=2)
    with pytest.raises(ModelError, match="a batch of 8 cannot be shared by 3 workers"):
        estimate_run(run, TERMS, 100, 3, False)


def test_the_full_size_run_has_the_towers_that_it_names() -> None:
    run = find_run("coco-gpu")
    assert run.images is not None
    counted = estimate_run(run, run.vocabulary.size, run.images, 1, half_precision=True)
    # The sizes that are published of BEiT-B/16 and BERT-base: 86 and 109 million, the latter without its pooler.
    assert 85e6 < counted.parameters["image_tower"] < 87e6
    assert 108e6 < counted.parameters["text_tower"] < 110e6
    assert counted.phases[0].steps == 2 * (113_287 // 768)
    assert all(10e9 < phase.bytes < 80e9 for phase in counted.phases)  # one GPU of 80 GB
