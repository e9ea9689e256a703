"""A phase of training as data: what is learned, from which examples, how fast."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from lexlip.data.examples import ExampleSettings
from lexlip.objectives.momentum import MomentumSettings
from lexlip.objectives.token_dropout import TokenDropout
from lexlip.objectives.views import Views
from lexlip.settings_text import ADDED_LATER

# An objective is a frozen dataclass of its settings that turns views of a batch into named, weighted scalars.
Objective = Callable[[Views], dict[str, Tensor]]


@dataclass(frozen=True)
class OptimiserSettings:
    """AdamW with a linear warm-up and a linear decay to zero over the phase.

    Attributes:
        tower_rate: peak learning rate of the towers and of the heads' projections, copies of word embeddings.
        head_rate: peak learning rate of everything else: heads, bridge, decoder, projections.
        weight_decay: for matrices; norms, biases, embeddings and positions have none.
        warmup_share: share of the phase's steps.
        largest_gradient: the gradient's norm is clipped to it.
    """

    tower_rate: float = 5e-5
    head_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup_share: float = 0.1
    largest_gradient: float = 1.0


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
        name: for logs and checkpoints.
        objectives: their sum is the loss.
        epochs: passes over the pairs; each image comes once in a pass.
        batch: images a step, over all workers.
        image_size: pixels a side.
        half_resolution_share: share of steps whose images are halved in resolution.
        momentum: the momentum encoder, when an objective needs one.
        optimiser: learning rates and schedule.
        examples: captions an image, masking and augmentation.
        frozen_image_stages: stages of the image tower, from the input side, that do not learn.
        frozen_text_layers: layers of the text tower, from the embeddings on, that do not learn; 0 leaves all free.
        freeze_batch_norm: keeps the running statistics of pretrained batch norms.
        rows_at_once: most images or captions of a worker that pass the towers at a time; a larger batch is computed in
            parts, with the gradients of the whole, at the price of a second forward pass. None takes the batch whole.
        checkpoint_activations: towers keep only the inputs of their blocks and compute the rest again.
        remember_towers: outputs of both towers, all frozen, are computed once for each picture and caption and kept in
            memory (see `tower_memory`); pictures must not be augmented.
        token_dropout: hides some of what is remembered from the heads, other tokens in each step.
    """

    name: str
    objectives: tuple[Objective, ...]
    epochs: int
    batch: int
    image_size: int
    half_resolution_share: float = 0.0
    momentum: MomentumSettings | None = None
    optimiser: OptimiserSettings = field(default_factory=OptimiserSettings)
    examples: ExampleSettings = field(default_factory=ExampleSettings)
    frozen_image_stages: int = 0
    frozen_text_layers: int = 0
    freeze_batch_norm: bool = False
    rows_at_once: int | None = field(default=None, metadata=ADDED_LATER)
    checkpoint_activations: bool = field(default=False, metadata=ADDED_LATER)
    remember_towers: bool = field(default=False, metadata=ADDED_LATER)
    token_dropout: TokenDropout | None = field(default=None, metadata=ADDED_LATER)

    @property
    def follows_teacher(self) -> bool:
        """Whether an objective learns from a dense teacher."""
        return any(getattr(objective, "follows_teacher", False) for objective in self.objectives)
