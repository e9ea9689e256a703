"""The dense baseline: the same towers, mean-pooled and projected to one short vector (Radford et al. 2021).

Shapes: B rows, S pixels a side, L text tokens, D width, E embedding width.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.model.image_tower import ImageTower
from lexlip.model.inference import by_length, image_pixels, in_batches, unit_vectors
from lexlip.model.text_tower import TextTower
from lexlip.model.towers import TwoTowers
from lexlip.vocabulary import Vocabulary

EMBEDDING_WIDTH = 512
INITIAL_TEMPERATURE = 0.07
LOWEST_TEMPERATURE = 0.01  # CLIP clips its logit scale at 100


class DenseCLIP(TwoTowers):
    """Mean over tokens, linear projection to E, learned temperature."""

    kind = "clip"

    def __init__(
        self,
        image_tower: ImageTower,
        text_tower: TextTower,
        vocabulary: Vocabulary,
        preprocessing: ImagePreprocessing,
        embedding_width: int = EMBEDDING_WIDTH,
    ) -> None:
        super().__init__(image_tower, text_tower, vocabulary, preprocessing)
        self.image_projection = nn.Linear(image_tower.width, embedding_width, bias=False)
        self.text_projection = nn.Linear(text_tower.width, embedding_width, bias=False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(INITIAL_TEMPERATURE)))

    def image_vectors(self, pixels_B3SS: Tensor) -> Tensor:
        """[B, E] embeddings of images, not normalised."""
        return self.pool_image_tokens(self.image_tokens(pixels_B3SS))

    def pool_image_tokens(self, tokens_BTD: Tensor) -> Tensor:
        """[B, E] embeddings from the image tower's tokens, when they are at hand already."""
        return self.image_projection(tokens_BTD.mean(dim=1))

    def text_vectors(self, token_ids_BL: Tensor) -> Tensor:
        """[B, E] embeddings of texts, not normalised."""
        return self.pool_text_states(self.text_states(token_ids_BL), token_ids_BL)

    def pool_text_states(self, states_BLD: Tensor, token_ids_BL: Tensor) -> Tensor:
        """[B, E] embeddings from the text tower's states, when they are at hand already."""
        real_BL1 = (~self.text_padding(token_ids_BL))[:, :, None].float()
        return self.text_projection((states_BLD * real_BL1).sum(dim=1) / real_BL1.sum(dim=1))

    def temperature(self) -> Tensor:
        """The learned temperature, never below CLIP's bound."""
        return self.log_temperature.exp().clamp(min=LOWEST_TEMPERATURE)

    def configuration(self) -> dict[str, Any]:
        """Everything but weights and vocabulary that rebuilds the model."""
        return super().configuration() | {"embedding_width": self.image_projection.out_features}

    # --- use -------------------------------------------------------------------------------------------------------

    def encode_image(self, images: Sequence[Image.Image | bytes], *, batch_size: int = 32) -> np.ndarray:
        """float32 [B, E] of unit length.

        Raises:
            BadImage: bytes that are not a picture within the limits.
        """
        pixels = in_batches(images, batch_size, lambda batch: image_pixels(batch, self.preprocessing))
        return self._stack([self.encode_pixels(batch) for batch in pixels])

    def encode_pixels(self, pixels_B3SS: np.ndarray, *, mirrored: bool | None = None) -> np.ndarray:
        """The same from preprocessed uint8 pixels [B, 3, S, S], in one batch; read mirrored too or not, if given."""
        with torch.inference_mode():
            pixels = torch.from_numpy(pixels_B3SS).to(self.device)
            vectors_BE = unit_vectors(self.image_vectors, pixels, self.preprocessing.read_mirrored(mirrored))
            return functional.normalize(vectors_BE, dim=-1).cpu().numpy()

    def encode_text(self, texts: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
        """float32 [B, E] of unit length."""
        order = by_length(texts)
        rows = []
        for tokens_BL in in_batches([texts[position] for position in order], batch_size, self.tokens):
            with torch.inference_mode():
                vectors_BE = self.text_vectors(tokens_BL.to(self.device))
                rows.append(functional.normalize(vectors_BE.float(), dim=-1).cpu().numpy())
        return self._stack(rows)[np.argsort(order)]

    def _stack(self, rows: list[np.ndarray]) -> np.ndarray:
        width = self.image_projection.out_features
        return np.concatenate(rows) if rows else np.empty((0, width), np.float32)
