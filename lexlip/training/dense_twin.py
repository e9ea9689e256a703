"""The dense baseline of a run: the same towers, data and number of epochs, trained as CLIP is."""

from dataclasses import replace

from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.momentum import MomentumContrastive
from lexlip.training.phases import Phase
from lexlip.training.run import Run


def dense_twin(run: Run, name: str) -> Run:
    """The same run for the dense baseline: contrastive learning in every phase, in the same number of epochs."""
    return replace(run, name=name, kind="clip", phases=tuple(_dense_phase(phase) for phase in run.phases))


def _dense_phase(phase: Phase) -> Phase:
    """The phase's contrastive objectives; in-batch contrastive where it has none, with one caption an image."""
    kept = tuple(
        objective for objective in phase.objectives if isinstance(objective, MomentumContrastive | InBatchContrastive)
    )
    if kept:
        return replace(phase, objectives=kept)
    return replace(phase, objectives=(InBatchContrastive(),), examples=replace(phase.examples, captions_per_image=1))
