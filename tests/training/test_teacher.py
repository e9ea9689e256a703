"""A run's dense teacher: found, checked before anything is trained, and not counted for nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from lexlip.errors import ModelError, VocabularyError
from lexlip.model.building import ModelSettings, build_clip, build_lexlip
from lexlip.model.clip import DenseCLIP
from lexlip.objectives.distillation import Distillation
from lexlip.training.estimate import estimate_run
from lexlip.training.optimiser import freeze
from lexlip.training.phases import Phase
from lexlip.training.run import Run
from lexlip.training.runs import find_run
from lexlip.vocabulary import Vocabulary


@pytest.fixture
def run(tiny_model_settings: ModelSettings, bottleneck_phase: Phase) -> Run:
    """A run whose only phase follows a teacher."""
    return Run("taught", "lexlip", tiny_model_settings, (replace(bottleneck_phase, objectives=(Distillation(),)),))


@pytest.fixture
def folder(tiny_model_settings: ModelSettings, vocabulary: Vocabulary, tmp_path: Path) -> Path:
    build_clip(tiny_model_settings, vocabulary).save_pretrained(tmp_path / "dense")
    return tmp_path / "dense"


def test_the_teacher_comes_ready_for_use(run: Run, folder: Path, vocabulary: Vocabulary) -> None:
    teacher = replace(run, teacher=str(folder)).load_teacher(vocabulary)
    assert isinstance(teacher, DenseCLIP)
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_what_does_not_fit_is_said_before_training(
    run: Run, folder: Path, bottleneck_phase: Phase, vocabulary: Vocabulary, tiny_lexlip: Path
) -> None:
    with pytest.raises(ModelError, match=r"run 'taught': phase bottleneck follows a dense teacher; give --teacher"):
        run.load_teacher(vocabulary)
    alone = replace(run, phases=(bottleneck_phase,))
    assert alone.load_teacher(vocabulary) is None
    with pytest.raises(ModelError, match="no phase follows a teacher; leave --teacher out"):
        replace(alone, teacher=str(folder)).load_teacher(vocabulary)
    with pytest.raises(ModelError, match="the towers are those of a dense teacher; give --teacher"):
        replace(alone, towers_of_teacher=True).load_teacher(vocabulary)
    assert replace(alone, towers_of_teacher=True, teacher=str(folder)).load_teacher(vocabulary) is not None
    with pytest.raises(ModelError, match="holds a 'lexlip' model, not 'clip'"):
        replace(run, teacher=str(tiny_lexlip)).load_teacher(vocabulary)
    other = Vocabulary(vocabulary.terms[:-1])
    with pytest.raises(VocabularyError):
        replace(run, teacher=str(folder)).load_teacher(other)


def test_paths_are_made_absolute_and_memory_is_counted(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    absolute = replace(run, teacher=folder.name, start_from=folder.name).with_absolute_paths()
    assert absolute.teacher == absolute.start_from == str(folder)
    taught = estimate_run(run, 300, 100, 1, half_precision=False).phases[0]
    untaught = replace(run, phases=(replace(run.phases[0], objectives=()),))
    alone = estimate_run(untaught, 300, 100, 1, half_precision=False).phases[0]
    assert taught.weights_bytes > alone.weights_bytes


def test_the_distilled_run_ends_with_heads_that_learn_alone() -> None:
    run, untaught = find_run("flickr8k-cpu-distilled"), find_run("flickr8k-cpu")
    assert [phase.name for phase in run.phases] == [*(phase.name for phase in untaught.phases), "heads"]
    assert run.phases[:3] == untaught.phases[:3]
    assert [phase.follows_teacher for phase in run.phases] == [False] * 3 + [True] * 3
    assert not any(phase.momentum for phase in run.phases if phase.follows_teacher)


def test_from_dense_to_sparse_only_heads_learn() -> None:
    run = find_run("flickr8k-cpu-dense-to-sparse")
    assert run.towers_of_teacher
    assert not run.model.tied_text_head
    assert all(phase.follows_teacher and phase.remember_towers for phase in run.phases)


def test_heads_and_dense_projections_learn_last_from_all_captions_of_a_photo() -> None:
    for name in ("flickr8k-cpu-dense-to-sparse", "flickr8k-cpu-clip"):
        last = find_run(name).phases[-1]
        assert last.remember_towers
        assert last.examples.captions_per_image == 5


@pytest.mark.parametrize("tied", [True, False])
def test_a_phase_with_all_towers_frozen_teaches_the_heads_only(
    run: Run, tiny_model_settings: ModelSettings, vocabulary: Vocabulary, tied: bool
) -> None:
    model = build_lexlip(replace(tiny_model_settings, tied_text_head=tied), vocabulary)
    stages, layers = len(model.image_tower.stages()), len(model.text_tower.layers())
    freeze(model, replace(run.phases[0], frozen_image_stages=stages, frozen_text_layers=layers))
    learning = {name.split(".")[0] for name, value in model.named_parameters() if value.requires_grad}
    assert learning == {"image_bridge", "image_head", "text_head", "decoder"}
    assert model.text_head.projection.requires_grad == (not tied)
