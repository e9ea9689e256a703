"""Training on Ray: from a tiny run to a model folder, through a killed worker, and the errors a user meets."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray  # brings psutil along
import torch
from ray.train import ControllerError

from lexlip.data.augmentation import AugmentationSettings
from lexlip.data.examples import ExampleSettings
from lexlip.data.sources import open_pairs
from lexlip.errors import ModelError
from lexlip.model.building import ModelSettings, build_clip
from lexlip.model.lexlip import LexLIP
from lexlip.model.saving import load_model
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.distillation import Distillation
from lexlip.objectives.flops import Flops
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumSettings
from lexlip.objectives.term_cut import TermCut
from lexlip.training.phases import OptimiserSettings, Phase
from lexlip.training.run import Run, VocabularySettings
from pipelines.cluster_session import user_error
from pipelines.training import TrainingResources, train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tiny_model_settings: ModelSettings) -> Run:
    """Two phases of LexLIP; the second at a higher resolution and longer, so that it can be killed in between."""
    first = Phase(
        name="bottleneck",
        objectives=(SelfMaskedLM(), TextBottleneck(), ImageBottleneck(), InBatchContrastive(), Flops(0.01)),
        epochs=1,
        batch=8,
        image_size=64,
        optimiser=OptimiserSettings(tower_rate=1e-3, head_rate=1e-3),
        examples=ExampleSettings(text_tokens=16, augmentation=AugmentationSettings(operations=1)),
    )
    second = replace(
        first,
        name="momentum",
        objectives=(MomentumContrastive(), Flops(0.01)),
        momentum=MomentumSettings(queue=24, key_terms=32),
        epochs=2,
        image_size=96,
        half_resolution_share=0.5,
    )
    return Run("tiny", "lexlip", tiny_model_settings, (first, second), VocabularySettings(size=400), shuffle_rows=8)


@pytest.fixture(scope="module")
def trained(ray_session: None, run: Run, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, uninterrupted. Read only."""
    out = tmp_path_factory.mktemp("trained") / "model"
    summary = train(run, str(scenes), out)
    assert summary.model == str(out)
    assert summary.dropped_rows == 0
    assert summary.metrics["momentum_contrastive"] > 0
    assert summary.metrics["images_per_second"] > 0
    return out


def test_a_run_becomes_a_model(trained: Path, run: Run, scenes: Path) -> None:
    model = load_model(trained)
    assert isinstance(model, LexLIP)
    assert model.preprocessing.size == 96
    assert len(model.encode_text(["a red ball"])[0]) > 0
    facts = json.loads((trained / "config.json").read_text())["training"]
    assert facts == {"run": "tiny", "run_fingerprint": run.fingerprint, "data": str(scenes), "steps": 15}


def test_checkpoints_logs_and_the_summary_stay_beside_the_model(trained: Path) -> None:
    work = trained.with_name("model.training")
    assert {"run.json", "summary.json", "tensorboard", "checkpoints"} <= {path.name for path in work.iterdir()}
    assert 1 <= len(list(work.glob("checkpoints/checkpoint_*/state.pt"))) <= 2
    assert list((work / "tensorboard").iterdir())


def test_the_same_command_again_finds_the_run_finished(
    trained: Path, run: Run, scenes: Path, capfd: pytest.CaptureFixture
) -> None:
    written = (trained / "model.safetensors").stat().st_mtime_ns
    summary = train(run, str(scenes), trained)
    assert "finished already" in capfd.readouterr().out
    assert summary.model == str(trained)
    assert (trained / "model.safetensors").stat().st_mtime_ns == written


def test_a_folder_of_another_run_or_of_other_data_is_refused(trained: Path, run: Run, scenes: Path) -> None:
    with pytest.raises(ModelError, match=r"belongs to run 'tiny'.*choose another --out"):
        train(replace(run, seed=1), str(scenes), trained)
    with pytest.raises(ModelError, match=r"belongs to run 'tiny'"):
        train(run, f"{scenes}/*.parquet", trained)


def test_a_folder_that_is_there_already_is_refused_before_training(run: Run, scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(ModelError, match=r"photos exists already.*choose another --out"):
        train(run, str(scenes), tmp_path / "photos")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["holiday.jpg", "photos"]


def kill_training_workers() -> list[int]:
    """Kills the training workers of this process's own Ray, and of no other on the machine; gives their process ids."""
    import psutil

    assert ray.is_initialized()
    killed = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "RayTrainWorker" in " ".join(process.cmdline()):
                process.kill()
                killed.append(process.pid)
    return killed


def train_and_kill(run: Run, scenes: Path, out: Path) -> None:
    """Trains, and kills the worker once after its first checkpoint, in the middle of an epoch."""
    killed: list[int] = []

    def kill_after_the_first_checkpoint() -> None:
        while not list(out.parent.glob(f"{out.name}.training/checkpoints/checkpoint_*/state.pt")):
            time.sleep(0.02)
        killed.extend(kill_training_workers())

    watcher = threading.Thread(target=kill_after_the_first_checkpoint, daemon=True)
    watcher.start()
    train(run, str(scenes), out, TrainingResources(most_failures=2, checkpoint_steps=2))
    watcher.join(timeout=1)
    assert len(killed) == 1


def test_a_killed_worker_changes_nothing(trained: Path, run: Run, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    train_and_kill(run, scenes, out)
    interrupted, steady = load_model(out), load_model(trained)
    for name, value in steady.state_dict().items():
        assert torch.equal(interrupted.state_dict()[name], value), name


def test_heads_go_on_learning_on_their_teachers_towers_after_a_worker_was_killed(
    ray_session: None, run: Run, scenes: Path, tmp_path: Path
) -> None:
    every = 100  # more stages and layers than there are
    heads = replace(
        run.phases[0],
        name="heads",
        objectives=(InBatchContrastive(), Distillation((TermCut(20, 10),))),
        epochs=3,
        frozen_image_stages=every,
        frozen_text_layers=every,
        freeze_batch_norm=True,
        remember_towers=True,
        examples=replace(run.phases[0].examples, augment=False),
    )
    teacher = build_clip(run.model, run.make_vocabulary(open_pairs(str(scenes))))
    teacher.save_pretrained(tmp_path / "teacher")
    taught = replace(run, phases=(heads,), towers_of_teacher=True, teacher=str(tmp_path / "teacher"))
    train_and_kill(taught, scenes, tmp_path / "model")

    student = load_model(tmp_path / "model")
    assert json.loads((tmp_path / "model" / "config.json").read_text())["training"]["teacher"] == teacher.fingerprint
    for tower, own in ((student.image_tower, teacher.image_tower), (student.text_tower, teacher.text_tower)):
        assert all(torch.equal(value, own.state_dict()[name]) for name, value in tower.state_dict().items())
    torch.manual_seed(taught.seed)
    start = taught.build(student.vocabulary)
    assert not torch.equal(student.image_head.projection, start.image_head.projection)


def test_a_worker_that_died_before_it_saved_the_model_loses_nothing(
    trained: Path, run: Run, scenes: Path, tmp_path: Path
) -> None:
    work = Path(shutil.copytree(trained.with_name("model.training"), tmp_path / "model.training"))
    (work / "summary.json").unlink()
    summary = train(run, str(scenes), tmp_path / "model")  # every epoch is done: only the model is missing
    assert load_model(tmp_path / "model").fingerprint == load_model(trained).fingerprint
    assert summary.metrics["momentum_contrastive"] > 0


def test_what_a_user_can_mend_ends_training_at_once(ray_session: None, run: Run, scenes: Path, tmp_path: Path) -> None:
    # Ray Train gives errors of its controller no second try; after too many tries it would be a WorkerGroupError.
    long = replace(run.phases[0], examples=ExampleSettings(text_tokens=1000))
    with pytest.raises(ControllerError) as failure:
        train(replace(run, phases=(long,)), str(scenes), tmp_path / "model", TrainingResources(most_failures=3))
    cause = user_error(failure.value)
    assert type(cause) is ModelError
    assert str(cause).startswith("phase bottleneck: 1000 text tokens, but the text tower has")


def test_more_workers_at_least_than_at_most_are_refused(
    ray_session: None, run: Run, scenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"least_workers=3 are more than the 2 worker\(s\) wanted"):
        train(run, str(scenes), tmp_path / "model", TrainingResources(workers=2, least_workers=3))
    with pytest.raises(ModelError, match="have to be at least 1"):
        train(run, str(scenes), tmp_path / "model", TrainingResources(checkpoint_steps=0))


def test_fine_tuning_starts_from_a_finished_model(trained: Path, run: Run, scenes: Path, tmp_path: Path) -> None:
    still = OptimiserSettings(tower_rate=0.0, head_rate=0.0)
    tuning = replace(run, name="tuned", phases=(replace(run.phases[0], optimiser=still, image_size=96),))
    tuning = replace(tuning, start_from=str(trained))
    train(tuning, str(scenes), tmp_path / "model")
    before, after = load_model(trained), load_model(tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "config.json").read_text())["training"]
    assert facts["started_from"] == before.fingerprint
    assert after.vocabulary.terms == before.vocabulary.terms
    learned = dict(after.named_parameters())  # buffers follow what is seen even where nothing learns
    assert all(torch.equal(learned[name], value) for name, value in before.named_parameters())
    with pytest.raises(ModelError, match="another start; choose another --out"):
        train(replace(tuning, start_from=None), str(scenes), tmp_path / "model")


def test_missing_data_is_one_line_and_status_two(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / "pipelines" / "pretrain.py"), "--data", "nowhere/*.parquet"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.strip().splitlines()[-1] == "error: nowhere/*.parquet: no file matches this pattern"
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_teacher_that_does_not_fit_is_said_before_the_folder_belongs_to_the_run(
    run: Run, scenes: Path, tmp_path: Path, tiny_lexlip: Path
) -> None:
    taught = replace(run, phases=(replace(run.phases[0], objectives=(Distillation(),)),))
    for teacher, reason in ((None, "give --teacher"), (str(tiny_lexlip), "holds a 'lexlip' model, not 'clip'")):
        with pytest.raises(ModelError, match=reason):
            train(replace(taught, teacher=teacher), str(scenes), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
