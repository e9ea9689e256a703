"""What a training says of an epoch: progress, means, and warnings when the lexicon falls ill."""

import pytest
import torch

from lexlip.errors import ModelError
from lexlip.training.runs import find_run
from pipelines.epoch_progress import EpochProgress

STEPS = 4


def progress(before: EpochProgress | None = None, rank: int = 0) -> EpochProgress:
    run = find_run("demo")
    return EpochProgress(run, run.phases[0], 0, 1, STEPS, 0, rank, None, before)


def figures(terms: float) -> dict[str, torch.Tensor]:
    return {
        "image_terms": torch.tensor(terms),
        "image_top_share": torch.tensor(0.1),
        "gradient_norm": torch.tensor(1.0),
    }


def test_a_warning_is_said_at_once_and_once_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    running = progress()
    running.printed -= 100.0  # the last line was long ago
    running.add(figures(1.5), images=8)
    epochs = find_run("demo").phases[0].epochs
    assert f"epoch 2/{epochs} step 1/4: warning: vectors of images have 1.5 terms" in capsys.readouterr().out
    for terms in (1.4, 1.3, 1.2):
        running.printed -= 100.0
        running.add(figures(terms), images=8)
    assert "warning" not in capsys.readouterr().out
    assert running.means()["image_terms"] == pytest.approx(1.35)


def test_dying_terms_are_noticed_from_one_epoch_to_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    first = progress()
    first.end({"image_live_terms": 1000.0, "image_dead_terms": 10.0})
    second = progress(first)
    second.end({"image_live_terms": 300.0, "image_dead_terms": 710.0})
    assert "terms are dying: 300 occur in vectors of images, 1000 did" in capsys.readouterr().out
    assert second.means()["image_dead_terms"] == 710.0


def test_only_the_first_worker_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    silent = progress(rank=1)
    for _ in range(STEPS):
        silent.add(figures(1.0), images=8)
    silent.end({})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_ends_the_run_before_it_is_kept(norm: float) -> None:
    spoilt = figures(10.0) | {"gradient_norm": torch.tensor(norm), "loss": torch.tensor(float("nan"))}
    with pytest.raises(
        ModelError, match=r"step 1/4: the gradient is not finite \(loss nan\); lower the learning rates"
    ):
        progress().add(spoilt, images=8)
