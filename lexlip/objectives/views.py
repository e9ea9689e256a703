"""What the objectives of one step look at: a batch and a model's outputs on it, each computed once and on demand.

Shapes: N images, C captions an image, B = N * C captions, L text tokens, S pixels a side, V vocabulary, D width,
X vector width.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from lexlip.errors import ModelError
from lexlip.model.clip import DenseCLIP
from lexlip.model.lexicon_head import lexicon_weights
from lexlip.model.lexlip import LexLIP
from lexlip.objectives.row_parts import in_parts
from lexlip.objectives.term_cut import TermCut, most_worthwhile

if TYPE_CHECKING:
    from lexlip.objectives.momentum import Keys
    from lexlip.objectives.tower_memory import Remembered


@dataclass(frozen=True)
class Batch:
    """One step's examples on the device.

    Attributes:
        pixels_N3SS: uint8 or float pixels in 0..255.
        image_keys_N: int64, equal for equal image ids: pairs of one image are never each other's negatives.
        token_ids_BL, caption_keys_B: captions, and the key of the image that each describes.
        encoder_masked_ids_BL, encoder_labels_BL: lightly masked captions; labels are -100 where nothing is predicted.
        decoder_masked_ids_BL, decoder_labels_BL: heavily masked captions.
    """

    pixels_N3SS: Tensor
    image_keys_N: Tensor
    token_ids_BL: Tensor
    caption_keys_B: Tensor
    encoder_masked_ids_BL: Tensor
    encoder_labels_BL: Tensor
    decoder_masked_ids_BL: Tensor
    decoder_labels_BL: Tensor

    @property
    def captions_per_image(self) -> int:
        """C; the captions of an image stand in a row."""
        return self.token_ids_BL.shape[0] // self.pixels_N3SS.shape[0]


def normalised(vectors: Tensor) -> Tensor:
    """Rows scaled to unit length, in single precision."""
    return functional.normalize(vectors.float(), dim=-1)


class Views:
    """A model's outputs on one batch.

    Args:
        model: the model in training.
        batch: the step's examples.
        progress: how far the phase is, 0..1.
        keys: momentum keys of the batch and the queues, in phases that have them.
        rows_at_once: most images or captions whose activations exist at a time; None for all.
        teacher: a finished dense model on the same vocabulary, in runs that have one.
        remembered: outputs of frozen towers for this batch, in phases that remember them.
    """

    def __init__(
        self,
        model: LexLIP | DenseCLIP,
        batch: Batch,
        progress: float,
        keys: "Keys | None" = None,
        rows_at_once: int | None = None,
        teacher: DenseCLIP | None = None,
        remembered: "Remembered | None" = None,
    ) -> None:
        self.model = model
        self.batch = batch
        self.progress = progress
        self.keys = keys
        self.rows_at_once = rows_at_once
        self.teacher = teacher
        self.remembered = remembered
        self._cut_unit_vectors: dict[TermCut, tuple[Tensor, Tensor]] = {}

    @property
    def lexicon_model(self) -> LexLIP:
        """The model, for objectives that only a lexicon model has."""
        if not isinstance(self.model, LexLIP):
            raise ModelError(f"this objective needs a lexicon model, not {self.model.kind!r}")
        return self.model

    @property
    def dense_teacher(self) -> DenseCLIP:
        """The teacher, for objectives that follow one."""
        if self.teacher is None:
            raise ModelError("this objective needs a dense teacher")
        return self.teacher

    @cached_property
    def image_pooled_NV(self) -> Tensor:
        """Pooled logits of the images."""
        if self.remembered is not None:
            return self.lexicon_model.pool_image_tokens(self.remembered.image_tokens_NTD)
        return in_parts(self.lexicon_model.pool_image, self.rows_at_once, self.batch.pixels_N3SS)

    @cached_property
    def text_pooled_BV(self) -> Tensor:
        """Pooled logits of the unmasked captions."""
        if self.remembered is not None:
            return self.lexicon_model.pool_text_states(self.remembered.text_states_BLD, self.batch.token_ids_BL)
        return in_parts(self.lexicon_model.pool_text, self.rows_at_once, self.batch.token_ids_BL)

    @cached_property
    def image_vectors_NX(self) -> Tensor:
        """Vectors of the images, not normalised."""
        if isinstance(self.model, LexLIP):
            return lexicon_weights(self.image_pooled_NV)
        if self.remembered is not None:
            return self.model.pool_image_tokens(self.remembered.image_tokens_NTD)
        return in_parts(self.model.image_vectors, self.rows_at_once, self.batch.pixels_N3SS)

    @cached_property
    def text_vectors_BX(self) -> Tensor:
        """Vectors of the unmasked captions, not normalised."""
        if isinstance(self.model, LexLIP):
            return lexicon_weights(self.text_pooled_BV)
        if self.remembered is not None:
            return self.model.pool_text_states(self.remembered.text_states_BLD, self.batch.token_ids_BL)
        return in_parts(self.model.text_vectors, self.rows_at_once, self.batch.token_ids_BL)

    @cached_property
    def image_unit_vectors_NX(self) -> Tensor:
        """Vectors of the images, of unit length."""
        return normalised(self.image_vectors_NX)

    @property
    def image_unit_vectors_in_use_NX(self) -> Tensor:
        """Vectors of the images as encoding makes them: means of all looks that the memory has; of unit length."""
        if self.remembered is None or not self.remembered.other_looks:
            return self.image_unit_vectors_NX
        pooled = [self.lexicon_model.pool_image_tokens(tokens_NTD) for tokens_NTD in self.remembered.other_looks]
        looks = [self.image_unit_vectors_NX, *(normalised(lexicon_weights(pooled_NV)) for pooled_NV in pooled)]
        return normalised(torch.stack(looks).mean(dim=0))

    @cached_property
    def text_unit_vectors_BX(self) -> Tensor:
        """Vectors of the unmasked captions, of unit length."""
        return normalised(self.text_vectors_BX)

    def cut_unit_vectors(self, cut: TermCut) -> tuple[Tensor, Tensor]:
        """[N, V] and [B, V]: lexicon weights of images and captions, cut and then scaled to unit length."""
        if cut not in self._cut_unit_vectors:
            image_worth_V, text_worth_V = self._worths
            self._cut_unit_vectors[cut] = (
                normalised(most_worthwhile(self.image_vectors_NX, cut.image, image_worth_V)),
                normalised(most_worthwhile(self.text_vectors_BX, cut.text, text_worth_V)),
            )
        return self._cut_unit_vectors[cut]

    @cached_property
    def _worths(self) -> tuple[Tensor, Tensor]:
        statistics = self.lexicon_model.term_statistics
        return statistics.worth_of_image_terms(), statistics.worth_of_text_terms()

    @cached_property
    def teacher_unit_vectors(self) -> tuple[Tensor, Tensor]:
        """[N, X] and [B, X]: the teacher's vectors of images and captions, without gradient."""
        teacher, rows = self.dense_teacher, self.rows_at_once
        if self.remembered is not None and self.remembered.teacher_vectors is not None:
            images_NX, texts_BX = self.remembered.teacher_vectors
            return normalised(images_NX), normalised(texts_BX)
        with torch.no_grad():
            return (
                normalised(in_parts(teacher.image_vectors, rows, self.batch.pixels_N3SS)),
                normalised(in_parts(teacher.text_vectors, rows, self.batch.token_ids_BL)),
            )

    @cached_property
    def masked_states_BLD(self) -> Tensor:
        """Text-tower states of the lightly masked captions."""
        return in_parts(self.lexicon_model.text_states, self.rows_at_once, self.batch.encoder_masked_ids_BL)

    @cached_property
    def masked_pooled_BV(self) -> Tensor:
        """Pooled logits of the lightly masked captions."""
        pool, masked_ids_BL = self.lexicon_model.pool_text_states, self.batch.encoder_masked_ids_BL
        return in_parts(pool, self.rows_at_once, self.masked_states_BLD, masked_ids_BL)

    @cached_property
    def image_pooled_BV(self) -> Tensor:
        """Pooled logits of each caption's image."""
        return self.image_pooled_NV.repeat_interleave(self.batch.captions_per_image, dim=0)
