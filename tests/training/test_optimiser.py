"""Parameter groups, the schedule, and named runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lexlip.errors import ModelError
from lexlip.model.building import ModelSettings, build_clip, build_lexlip
from lexlip.objectives.caption_words import SaidWords
from lexlip.objectives.token_dropout import TokenDropout
from lexlip.settings_text import settings_text
from lexlip.training.optimiser import make_optimiser, make_schedule
from lexlip.training.phases import OptimiserSettings
from lexlip.training.run import Run
from lexlip.training.runs import NAMED_RUNS, find_run
from lexlip.vocabulary import Vocabulary

SETTINGS = OptimiserSettings(tower_rate=1e-3, head_rate=1e-2, weight_decay=0.1, warmup_share=0.2)


@pytest.mark.parametrize("build", [build_lexlip, build_clip])
def test_every_parameter_is_in_one_group_with_its_rate_and_decay(
    build: object, tiny_model_settings: ModelSettings, vocabulary: Vocabulary
) -> None:
    assert callable(build)
    model = build(tiny_model_settings, vocabulary)
    groups = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in make_optimiser(model, SETTINGS).param_groups
        for parameter in group["params"]
    }
    named = dict(model.named_parameters())
    assert len(groups) == len(named)
    for name, parameter in named.items():
        rate = 1e-3 if name.startswith(("image_tower", "text_tower", "image_head.projection")) else 1e-2
        # By name, as a reader of the literature would list them.
        parts = ("embeddings", "pos_embed", "cls_token", "norm", "bias", "log_temperature")
        decays = parameter.ndim > 1 and not any(part in name.lower() for part in parts)
        assert groups[id(parameter)] == (rate, 0.1 if decays else 0.0), name


def test_what_does_not_learn_is_in_no_group(tiny_model_settings: ModelSettings, vocabulary: Vocabulary) -> None:
    model = build_clip(tiny_model_settings, vocabulary)
    model.text_tower.requires_grad_(False)
    chosen = {id(value) for group in make_optimiser(model, SETTINGS).param_groups for value in group["params"]}
    assert not chosen & {id(value) for value in model.text_tower.parameters()}


def test_the_rate_rises_linearly_and_falls_linearly_to_zero() -> None:
    optimiser = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimiser, SETTINGS, steps=10)
    rates = []
    for _ in range(10):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert optimiser.param_groups[0]["lr"] == 0.0


@pytest.mark.parametrize("name", NAMED_RUNS)
def test_named_runs_are_complete_and_always_the_same(name: str) -> None:
    run = find_run(name)
    assert run.name == name
    assert run.fingerprint == find_run(name).fingerprint
    assert run.model.image.image_size == run.model.preprocessing.size
    assert all(phase.objectives and phase.epochs > 0 for phase in run.phases)


def test_every_named_run_has_its_own_fingerprint() -> None:
    assert len({find_run(name).fingerprint for name in NAMED_RUNS}) == len(NAMED_RUNS)


def test_settings_added_later_change_a_fingerprint_only_where_they_are_used() -> None:
    run = find_run("demo")
    earlier = repr(run)  # what versions without these settings took the digits of
    of_phases = ("rows_at_once=None", "checkpoint_activations=False", "remember_towers=False", "token_dropout=None")
    of_the_run = ("towers_of_teacher=False", "tied_text_head=True", "mirrored=False")
    for added, times in (*((added, len(run.phases)) for added in of_phases), *((added, 1) for added in of_the_run)):
        assert earlier.count(f", {added}") == times
        earlier = earlier.replace(f", {added}", "")
    assert settings_text(run) == earlier
    assert replace(run, images=5).fingerprint == run.fingerprint  # decides nothing
    assert replace(run, start_from="somewhere").fingerprint == run.fingerprint  # that model has its own
    assert replace(run, towers_of_teacher=True).fingerprint != run.fingerprint
    assert replace(run, model=replace(run.model, tied_text_head=False)).fingerprint != run.fingerprint
    mirrored = replace(run.model.preprocessing, mirrored=True)
    assert replace(run, model=replace(run.model, preprocessing=mirrored)).fingerprint != run.fingerprint
    assert settings_text(SaidWords(telling=True)) == repr(SaidWords(telling=True))
    assert settings_text(SaidWords()) == repr(SaidWords()).replace(", telling=False", "")
    changes: list[dict[str, Any]] = [
        {"rows_at_once": 8},
        {"checkpoint_activations": True},
        {"remember_towers": True},
        {"token_dropout": TokenDropout()},
        {"batch": 7},
    ]
    for setting in changes:
        changed = replace(run, phases=(replace(run.phases[0], **setting), *run.phases[1:]))
        assert changed.fingerprint != run.fingerprint


def test_a_run_of_one_s_own_is_found_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "my_runs.py"
    file.write_text(
        "from dataclasses import replace\n"
        "from lexlip.training.demo_runs import demo\n"
        "def mine():\n    return replace(demo(), name='mine', seed=5)\n"
        "def wrong():\n    return 'a run'\n"
    )
    run = find_run(f"{file}:mine")
    assert isinstance(run, Run)
    assert (run.name, run.seed) == ("mine", 5)
    with pytest.raises(ModelError, match="no function 'yours'"):
        find_run(f"{file}:yours")
    with pytest.raises(ModelError, match="gave str, not a Run"):
        find_run(f"{file}:wrong")


def test_runs_that_are_not_there_are_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no run 'dmeo': known are demo, .*flickr8k-cpu"):
        find_run("dmeo")
    (tmp_path / "runs.txt").write_text("")
    with pytest.raises(ModelError, match=r"runs\.txt.*not a Python file"):
        find_run(f"{tmp_path / 'runs.txt'}:mine")
