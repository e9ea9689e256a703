"""Two workers with half a batch each give the losses and the gradients of one worker with the whole batch."""

import pickle
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lexlip.model.clip import DenseCLIP
from lexlip.model.image_tower import ImageTower, ImageTowerConfig
from lexlip.model.lexlip import LexLIP

SCRIPT = Path(__file__).with_name("share_of_batch.py")
WORKERS = 2
Results = dict[str, dict[str, Tensor]]


@pytest.fixture
def results(
    tmp_path: Path, lexlip: LexLIP, clip: DenseCLIP, examples: dict[str, np.ndarray]
) -> tuple[Results, list[Results]]:
    """What one worker gave for the whole, and what each of two gave for its half."""
    lexlip.save_pretrained(tmp_path / "lexlip")
    clip.save_pretrained(tmp_path / "clip")
    convolutional = ImageTower(ImageTowerConfig("test_resnet", 64))
    DenseCLIP(convolutional, clip.text_tower, clip.vocabulary, clip.preprocessing, 16).save_pretrained(
        tmp_path / "batch-norm"
    )
    (tmp_path / "second.pickle").write_bytes(pickle.dumps(examples))
    others = {name: values[::-1] for name, values in examples.items()}
    others["image_id"] = np.array([f"other {number}" for number in range(8)])
    (tmp_path / "first.pickle").write_bytes(pickle.dumps(others))
    command = [sys.executable, "-W", "ignore", str(SCRIPT), str(tmp_path)]
    workers = [subprocess.Popen([*command, str(rank), str(WORKERS)]) for rank in range(WORKERS)]
    whole = runpy.run_path(str(SCRIPT))["losses_and_gradients"](tmp_path, 0, 1)
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    return whole, [torch.load(tmp_path / f"results-{rank}.pt") for rank in range(WORKERS)]


def test_two_workers_are_one(results: tuple[Results, list[Results]], tmp_path: Path) -> None:
    whole, halves = results
    for part, expected in whole.items():
        first, second = (half[part] for half in halves)
        assert first.keys() == second.keys() == expected.keys()
        for name, value in expected.items():
            mean = (first[name] + second[name]) / 2
            torch.testing.assert_close(mean, value, rtol=1e-4, atol=1e-6, msg=f"{part}: {name}")
            if part.endswith("gradients"):  # data-parallel training has averaged them already
                torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
    # What was compared is all there is to compare.
    losses = {name for part, values in whole.items() if part.endswith("losses") for name in values}
    masked = {"self_masked_lm", "text_bottleneck", "image_bottleneck"}
    contrastive = {"contrastive", "momentum_contrastive", "cut_contrastive", "distillation", "cut_distillation"}
    assert losses == masked | contrastive | {"flops_image", "flops_text", "loss"}
    learning = {name.split(".")[0] for name in whole["lexlip bottleneck gradients"]}
    assert learning == {"image_tower", "text_tower", "text_head", "image_bridge", "image_head", "decoder"}
    assert "log_temperature" in whole["clip momentum gradients"]
    # After a step all workers hold one and the same model, what they follow included.
    left, right = (torch.load(tmp_path / f"weights-{rank}.pt") for rank in range(WORKERS))
    assert any("running_var" in name for name in left["batch-norm"])
    for kind, weights in left.items():
        assert all(torch.equal(value, right[kind][name]) for name, value in weights.items())
    # What is known of terms is known of the whole batch, too.
    one = runpy.run_path(str(SCRIPT))["weights_after_a_step"](tmp_path, 0, 1)["lexlip"]
    for side in ("image", "text"):
        for name in (f"{side}_running_mean", f"{side}_running_square"):
            assert one[f"term_statistics.{name}"].any()
            torch.testing.assert_close(left["lexlip"][f"term_statistics.{name}"], one[f"term_statistics.{name}"])
        theirs, expected = (weights[f"term_statistics.{side}_factor"] for weights in (left["lexlip"], one))
        torch.testing.assert_close(theirs @ theirs.T, expected @ expected.T)
