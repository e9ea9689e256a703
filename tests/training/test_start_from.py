"""A run that starts from a finished model: its vocabulary and weights, and what cannot be started from."""

from dataclasses import replace
from pathlib import Path

import pytest

from lexlip.data.sources import open_pairs
from lexlip.errors import ModelError
from lexlip.model.building import ModelSettings
from lexlip.model.lexlip import LexLIP
from lexlip.training.phases import Phase
from lexlip.training.run import Run, VocabularySettings
from lexlip.training.runs import find_run


@pytest.fixture
def run(tiny_model_settings: ModelSettings, bottleneck_phase: Phase, tiny_lexlip: Path) -> Run:
    """One phase on top of the tiny model."""
    return Run("tuned", "lexlip", tiny_model_settings, (bottleneck_phase,), start_from=str(tiny_lexlip))


def test_the_vocabulary_is_that_of_the_model(run: Run, scenes: Path, tiny_lexlip: Path) -> None:
    # Another one would be trained from the captions.
    other = replace(run, vocabulary=VocabularySettings(size=50))
    assert other.make_vocabulary(open_pairs(str(scenes))).terms == LexLIP.from_pretrained(tiny_lexlip).vocabulary.terms


def test_the_model_is_that_of_the_folder(run: Run, scenes: Path, tiny_lexlip: Path) -> None:
    model = run.build(run.make_vocabulary(open_pairs(str(scenes))))
    assert model.fingerprint == LexLIP.from_pretrained(tiny_lexlip).fingerprint


def test_a_run_that_fine_tunes_needs_a_model_to_start_from(tiny_lexlip: Path) -> None:
    tuning = find_run("coco-gpu-fine-tuning")
    with pytest.raises(ModelError, match="fine-tunes a trained model; give --start-from"):
        tuning.require_origin()
    replace(tuning, start_from=str(tiny_lexlip)).require_origin()
    find_run("coco-gpu").require_origin()


def test_a_model_of_the_other_kind_and_two_origins_are_refused(run: Run, scenes: Path, tiny_lexlip: Path) -> None:
    vocabulary = run.make_vocabulary(open_pairs(str(scenes)))
    with pytest.raises(ModelError, match="holds a 'lexlip' model, not 'clip'"):
        replace(run, kind="clip").build(vocabulary)
    with pytest.raises(ModelError, match="its towers are its teacher's, so it cannot start from another model"):
        replace(run, towers_of_teacher=True).build(vocabulary)
