"""One training step, and the state that a phase carries from step to step.

Shapes: N images, C captions an image, B = N * C captions, L text tokens, S pixels a side.
"""

import copy
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lexlip.errors import ModelError
from lexlip.model.clip import DenseCLIP
from lexlip.model.lexlip import LexLIP
from lexlip.model.term_statistics import COVARIANCE_ROWS, FOLLOWED_EVERY, TermStatistics
from lexlip.objectives.gathering import average_over_workers, gather_keys, worker_count
from lexlip.objectives.health import TermUse, health
from lexlip.objectives.momentum import MomentumEncoder
from lexlip.objectives.tower_memory import TowerMemory
from lexlip.objectives.views import Batch, Views
from lexlip.training.optimiser import freeze, make_optimiser, make_schedule, set_training_mode
from lexlip.training.phases import Phase

HALF = 0.5
STATISTICS = ("running_mean", "running_var", "running_square")
CAPTION_FIELDS = ("token_ids", "encoder_masked_ids", "encoder_labels", "decoder_masked_ids", "decoder_labels")


class PhaseLoss(nn.Module):
    """The sum of a phase's objectives, as a module that data-parallel training can wrap."""

    def __init__(self, model: LexLIP | DenseCLIP, phase: Phase, steps: int) -> None:
        super().__init__()
        self.model = model
        self.objectives = phase.objectives
        self.steps = steps
        self.rows_at_once = phase.rows_at_once
        self.token_dropout = phase.token_dropout
        self.term_use = TermUse()

    def forward(
        self,
        batch: Batch,
        step_number: int,
        momentum: MomentumEncoder | None,
        teacher: DenseCLIP | None = None,
        memory: TowerMemory | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Total loss, and its parts beside what is worth watching (both detached)."""
        keys = momentum.keys(batch, self.rows_at_once) if momentum is not None else None
        remembered = memory.recall(batch) if memory is not None else None
        shown, shown_remembered = batch, remembered  # what the losses see of it
        if self.token_dropout is not None and remembered is not None:
            shown, shown_remembered = self.token_dropout(batch, remembered, self.model.vocabulary)
        progress = step_number / self.steps
        views = Views(self.model, shown, progress, keys, self.rows_at_once, teacher, shown_remembered)
        parts: dict[str, Tensor] = {}
        for objective in self.objectives:
            parts |= objective(views)
        total = torch.stack([part.float() for part in parts.values()]).sum()
        watched = {name: part.detach() for name, part in parts.items()} | {"loss": total.detach()}
        watched |= health(views)
        self.term_use.add(views)
        compared = {"image_vectors_NX", "text_vectors_BX"} <= vars(views).keys()
        to_follow = step_number % FOLLOWED_EVERY == 0 or step_number == self.steps - 1
        if isinstance(self.model, LexLIP) and compared and to_follow:
            # In use nothing is hidden, so statistics are of the whole batch; where the losses saw it, it is at hand.
            whole = views if shown is batch else Views(self.model, batch, progress, remembered=remembered)
            follow_terms(self.model.term_statistics, whole)
        if momentum is not None and keys is not None:
            momentum.remember(keys)
        return total, watched


@torch.no_grad()
def follow_terms(statistics: TermStatistics, views: Views) -> None:
    """Takes the vectors of a batch into the statistics of a model: means of this worker's rows, which are averaged
    later, and directions of rows of all workers.
    """
    own = (views.image_unit_vectors_in_use_NX.detach(), views.text_unit_vectors_BX.detach())
    share = max(COVARIANCE_ROWS // worker_count(), 1)
    images_PV, texts_PV = (gather_keys(rows[:: max(len(rows) // share, 1)][:share]) for rows in own)
    statistics.follow(own, (images_PV, texts_PV))


class PhaseTrainer:
    """Trains one model through one phase.

    Args:
        model: on its device; frozen and sized here as the phase says.
        phase: what to do.
        steps: optimiser steps in the whole phase.
        seed: of random choices made on the device.
        teacher: a finished dense model in evaluation mode on the same device, for objectives that follow one.

    Raises:
        ModelError: the phase's images or captions do not fit the towers.
    """

    def __init__(
        self, model: LexLIP | DenseCLIP, phase: Phase, steps: int, seed: int, teacher: DenseCLIP | None = None
    ) -> None:
        if phase.examples.text_tokens > model.text_tower.positions:
            raise ModelError(
                f"phase {phase.name}: {phase.examples.text_tokens} text tokens, but the text tower has "
                f"{model.text_tower.positions} positions"
            )
        if not phase.examples.captions_per_image:
            raise ModelError(f"phase {phase.name}: examples without captions; captions_per_image must be at least 1")
        model.set_image_size(phase.image_size)
        model.checkpoint_activations(phase.checkpoint_activations)
        freeze(model, phase)
        set_training_mode(model, phase)
        twice = phase.rows_at_once is not None or phase.checkpoint_activations
        if twice and any(isinstance(module, nn.BatchNorm2d) and module.training for module in model.modules()):
            raise ModelError(
                f"phase {phase.name}: rows_at_once and checkpoint_activations compute rows in parts and again, which "
                "batch norms would take apart and count twice; set freeze_batch_norm, or use a tower without them"
            )
        self.model, self.phase, self.steps, self.seed = model, phase, steps, seed
        self.teacher: DenseCLIP | None = None
        if teacher is not None and phase.follows_teacher:
            # A copy: positions interpolated from phase to phase would not be those of a run that was resumed.
            self.teacher = copy.deepcopy(teacher)
            self.teacher.set_image_size(phase.image_size)
        self.memory = _tower_memory(model, phase, self.teacher)
        phase_loss = PhaseLoss(model, phase, steps)
        self.loss: nn.Module = phase_loss
        self.term_use = phase_loss.term_use
        self.optimiser = make_optimiser(model, phase.optimiser)
        self.schedule = make_schedule(self.optimiser, phase.optimiser, steps)
        self.step_number = 0
        self.momentum: MomentumEncoder | None = None
        if phase.momentum is not None:
            width = len(model.vocabulary) if isinstance(model, LexLIP) else model.image_projection.out_features
            self.momentum = MomentumEncoder(model, phase.momentum, width).to(model.device).eval()

    def step(self, batch: Batch) -> dict[str, Tensor]:
        """One optimiser step; returns the loss, its weighted parts and health figures, on the device."""
        set_training_mode(self.model, self.phase)
        # Every choice is a function of the step, so that a resumed run repeats the uninterrupted one.
        rng = np.random.default_rng((self.seed, self.step_number))
        torch.manual_seed(int(rng.integers(2**31)))
        if rng.random() < self.phase.half_resolution_share:
            batch = self._halved(batch)
        device = self.model.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            total, watched = self.loss(batch, self.step_number, self.momentum, self.teacher, self.memory)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.phase.optimiser.largest_gradient)
        self.optimiser.step()
        self.schedule.step()
        # Batch norms and the means of terms follow their own worker's rows; averaged, all workers hold one model.
        average_over_workers([value for name, value in self.model.named_buffers() if name.endswith(STATISTICS)])
        if self.momentum is not None:
            self.momentum.follow(self.model)
        self.step_number += 1
        return watched | {"gradient_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "momentum": self.momentum.state_dict() if self.momentum is not None else {},
            "step": self.step_number,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues from `state`, strictly.

        Raises:
            ModelError: it was written by another version of this program.
        """
        load_weights(self.model, state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        if self.momentum is not None:
            self.momentum.load_state_dict(state["momentum"], strict=True)
        self.step_number = state["step"]

    def _halved(self, batch: Batch) -> Batch:
        pixels = functional.interpolate(batch.pixels_N3SS.float(), scale_factor=HALF, mode="area")
        towers = [model.image_tower for model in (self.model, self.teacher) if model is not None]
        if not all(tower.accepts(pixels.shape[-1]) for tower in towers):
            pixels = functional.interpolate(pixels, size=batch.pixels_N3SS.shape[-2:], mode="bilinear")
        return Batch(**{**vars(batch), "pixels_N3SS": pixels})


def _tower_memory(model: LexLIP | DenseCLIP, phase: Phase, teacher: DenseCLIP | None) -> TowerMemory | None:
    if not phase.remember_towers:
        if phase.token_dropout is not None:
            raise ModelError(f"phase {phase.name}: token_dropout is for remembered towers; set remember_towers")
        return None
    towers = model.image_tower, model.text_tower
    learning = any(parameter.requires_grad for tower in towers for parameter in tower.parameters())
    varied = phase.examples.augment or phase.half_resolution_share > 0
    otherwise = phase.momentum is not None or phase.rows_at_once is not None
    if learning or varied or otherwise:
        raise ModelError(
            f"phase {phase.name}: remember_towers needs all of both towers frozen, no momentum encoder or "
            "rows_at_once, and pictures that are the same every time (examples.augment off, no half resolution)"
        )
    return TowerMemory(model, teacher)


def load_weights(model: LexLIP | DenseCLIP, weights: Mapping[str, Tensor]) -> None:
    """Takes the weights of a checkpoint, strictly.

    Raises:
        ModelError: it was written by another version of this program.
    """
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ModelError(
            f"the last checkpoint does not fit this version's model ({error}); move the .training folder away to "
            "start again"
        ) from error


def to_batch(examples: Mapping[str, np.ndarray], pad_id: int, device: torch.device | str) -> Batch:
    """Examples as `ExampleBuilder` makes them, on the device, captions flattened and cut to the longest."""
    keys_N = torch.tensor([image_key(str(image_id)) for image_id in examples["image_id"]], dtype=torch.int64)
    captions = examples["token_ids"].shape[1]
    longest = int((examples["token_ids"] != pad_id).any(axis=(0, 1)).nonzero()[0].max()) + 1
    texts = {}
    for name in CAPTION_FIELDS:
        values = np.ascontiguousarray(examples[name][:, :, :longest])
        texts[f"{name}_BL"] = torch.from_numpy(values.reshape(-1, longest).astype(np.int64)).to(device)
    return Batch(
        pixels_N3SS=torch.from_numpy(np.ascontiguousarray(examples["pixels"])).to(device),
        image_keys_N=keys_N.to(device),
        caption_keys_B=keys_N.repeat_interleave(captions).to(device),
        **texts,
    )


def image_key(image_id: str) -> int:
    """A stable 63-bit number for an image id."""
    return int.from_bytes(hashlib.blake2b(image_id.encode(), digest_size=8).digest(), "little") >> 1
