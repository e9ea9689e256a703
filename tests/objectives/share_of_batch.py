"""One process of a data-parallel group: losses and gradients of its share of two batches, in several phases.

Run by test_two_workers.py as `python share_of_batch.py FOLDER RANK WORLD`; FOLDER holds models and examples, and gets
the results. With one process there is no group and no data-parallel wrapper.
"""

import pickle
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from lexlip.model.saving import load_model
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.cut_contrastive import CutContrastive
from lexlip.objectives.distillation import Distillation
from lexlip.objectives.flops import Flops
from lexlip.objectives.gathering import average_over_workers
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumEncoder, MomentumSettings
from lexlip.objectives.term_cut import TermCut
from lexlip.objectives.views import Batch
from lexlip.training.optimiser import freeze
from lexlip.training.phases import Phase
from lexlip.training.step import STATISTICS, PhaseLoss, PhaseTrainer, to_batch

HEALTH = ("terms", "used_terms", "top_share")
# Figures that each worker takes of its own rows.
OWN_ROWS = ("in_batch_recall", *(f"{side}_{name}" for side in ("image", "text") for name in HEALTH))
COMMON: dict[str, Any] = {"epochs": 1, "batch": 8, "image_size": 64, "frozen_image_stages": 2}
PHASES = {
    "lexlip": (
        Phase(
            "bottleneck",
            (SelfMaskedLM(), TextBottleneck(), ImageBottleneck(), InBatchContrastive(), Flops(0.1)),
            **COMMON,
        ),
        Phase(
            "momentum",
            (MomentumContrastive(), Flops(0.1)),
            momentum=MomentumSettings(queue=20),
            rows_at_once=3,
            **COMMON,
        ),
        Phase("taught", (CutContrastive((TermCut(20, 10),)), Distillation((TermCut(20, 10),))), **COMMON),
    ),
    "clip": (Phase("momentum", (MomentumContrastive(), InBatchContrastive()), momentum=MomentumSettings(), **COMMON),),
}


def losses_and_gradients(folder: Path, rank: int, world: int) -> dict[str, dict[str, Tensor]]:
    """Parts of the loss and gradients by name, for each phase of each kind of model."""
    results: dict[str, dict[str, Tensor]] = {}
    for kind, phases in PHASES.items():
        for phase in phases:
            model = load_model(folder / kind)
            freeze(model, phase)
            loss: nn.Module = PhaseLoss(model, phase, steps=8)
            if world > 1:
                loss = DistributedDataParallel(loss, find_unused_parameters=True, broadcast_buffers=False)
            teacher = load_model(folder / "clip") if phase.follows_teacher else None
            width = len(model.vocabulary) if kind == "lexlip" else 16
            momentum = MomentumEncoder(model, phase.momentum, width).eval() if phase.momentum else None
            for part in ("first", "second"):  # the first batch fills the queues
                batch = own_batch(folder, part, model.vocabulary.pad_id, rank, world)
                total, watched = loss(batch, 4, momentum, teacher)
                average_over_workers([value for name, value in model.named_buffers() if name.endswith(STATISTICS)])
            total.backward()
            results[f"{kind} {phase.name} losses"] = {
                name: value for name, value in watched.items() if name not in OWN_ROWS
            }
            results[f"{kind} {phase.name} gradients"] = {
                name: value.grad for name, value in model.named_parameters() if value.grad is not None
            }
    return results


def weights_after_a_step(folder: Path, rank: int, world: int) -> dict[str, dict[str, Tensor]]:
    """A dense model with batch norms and a lexicon model after one step of training, all that they follow included."""
    weights = {}
    for name, phase in (("batch-norm", PHASES["clip"][0]), ("lexlip", PHASES["lexlip"][-1])):
        teacher = load_model(folder / "clip") if phase.follows_teacher else None
        trainer = PhaseTrainer(load_model(folder / name), phase, steps=1, seed=0, teacher=teacher)
        if world > 1:
            trainer.loss = DistributedDataParallel(trainer.loss, find_unused_parameters=True, broadcast_buffers=False)
        trainer.step(own_batch(folder, "first", trainer.model.vocabulary.pad_id, rank, world))
        weights[name] = trainer.model.state_dict()
    return weights


def own_batch(folder: Path, part: str, pad_id: int, rank: int, world: int) -> Batch:
    """One process's share of one of the two batches."""
    examples = pickle.loads((folder / f"{part}.pickle").read_bytes())
    share = len(examples["image_id"]) // world
    own = {name: values[rank * share : (rank + 1) * share] for name, values in examples.items()}
    return to_batch(own, pad_id, "cpu")


def main() -> None:
    """Join the group, compute, leave the results in the folder."""
    folder, rank, world = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'group'}", rank=rank, world_size=world)
    torch.save(losses_and_gradients(folder, rank, world), folder / f"results-{rank}.pt")
    torch.save(weights_after_a_step(folder, rank, world), folder / f"weights-{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
