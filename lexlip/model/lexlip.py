"""LexLIP: images and texts as sparse, non-negative weights over one vocabulary (arXiv 2302.02908).

Shapes: B rows, S pixels a side, T image tokens, L text tokens, D width, V vocabulary, C some of its terms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import ModelError
from lexlip.little_words import little_terms
from lexlip.model.decoder import BottleneckDecoder
from lexlip.model.image_tower import ImageTower
from lexlip.model.inference import by_length, image_pixels, in_batches, sparse_rows, unit_vectors
from lexlip.model.lexicon_head import TRANSFORMS, LexiconHead, lexicon_weights
from lexlip.model.term_statistics import TermStatistics
from lexlip.model.text_tower import TextTower
from lexlip.model.towers import TwoTowers
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary


@dataclass(frozen=True)
class TermShare:
    """One term's part of a score: `contribution` in score units, `share` of the whole score."""

    term: str
    contribution: float
    share: float


class LexLIP(TwoTowers):
    """Two towers, a lexicon head on each, and the decoder that pre-training needs.

    Args:
        transform: name of the heads' transform, a key of `lexicon_head.TRANSFORMS`.
        initial_bias: of every term in a fresh head.
        tied_text_head: the text head's projection is the word embeddings themselves, else a copy of its own.
    """

    kind = "lexlip"
    special_V: Tensor
    little_V: Tensor

    def __init__(
        self,
        image_tower: ImageTower,
        text_tower: TextTower,
        vocabulary: Vocabulary,
        preprocessing: ImagePreprocessing,
        transform: str = "residual",
        initial_bias: float = 0.0,
        tied_text_head: bool = True,
    ) -> None:
        super().__init__(image_tower, text_tower, vocabulary, preprocessing)
        if text_tower.word_embeddings.shape[0] != len(vocabulary):
            raise ModelError(
                f"the text tower knows {text_tower.word_embeddings.shape[0]} terms, the vocabulary {len(vocabulary)}"
            )
        self.transform = transform
        self.tied_text_head = tied_text_head
        self.text_head = LexiconHead(TRANSFORMS[transform](text_tower.width), text_tower.word_embeddings, initial_bias)
        if not tied_text_head:
            self.text_head = self.text_head.untied_copy()
        self.image_bridge = _bridge(image_tower.width, text_tower)
        self.image_head = self.text_head.untied_copy()
        self.decoder = BottleneckDecoder(text_tower.encoder.config)
        self.term_statistics = TermStatistics(len(vocabulary))
        special_V = torch.zeros(len(vocabulary), dtype=torch.bool)
        special_V[list(vocabulary.special_ids)] = True
        self.register_buffer("special_V", special_V, persistent=False)
        little_V = torch.zeros(len(vocabulary), dtype=torch.bool)
        little_V[sorted(little_terms(vocabulary))] = True
        self.register_buffer("little_V", little_V, persistent=False)

    def start_image_head_from_text_head(self) -> None:
        """Copies the text head's present weights, for example after a trained transform was loaded into it."""
        self.image_head = self.text_head.untied_copy()

    def take_towers(self, other: TwoTowers) -> None:
        """Copies the trained towers of another model; both heads start from the word embeddings among them."""
        super().take_towers(other)
        self.text_head.projection.data.copy_(self.text_tower.word_embeddings.detach())
        self.start_image_head_from_text_head()

    def image_states(self, pixels_B3SS: Tensor) -> Tensor:
        """[B, T, D] image tokens in the width of the text tower."""
        return self.image_bridge(self.image_tokens(pixels_B3SS))

    def pool_image(self, pixels_B3SS: Tensor) -> Tensor:
        """[B, V] pooled logits of images; special terms are minus infinity."""
        return self.pool_image_tokens(self.image_tokens(pixels_B3SS))

    def pool_image_tokens(self, tokens_BTD: Tensor) -> Tensor:
        """[B, V] pooled logits from the image tower's tokens, when they are at hand already."""
        return self._words_only(self.image_head(self.image_bridge(tokens_BTD)))

    def pool_text(self, token_ids_BL: Tensor) -> Tensor:
        """[B, V] pooled logits of texts; special terms are minus infinity."""
        return self.pool_text_states(self.text_states(token_ids_BL), token_ids_BL)

    def pool_text_states(self, states_BLD: Tensor, token_ids_BL: Tensor) -> Tensor:
        """[B, V] pooled logits from states that are at hand already."""
        return self._words_only(self.text_head(states_BLD, self.text_padding(token_ids_BL)))

    def image_vectors(self, pixels_B3SS: Tensor) -> Tensor:
        """[B, V] lexicon weights of images, not normalised."""
        return lexicon_weights(self.pool_image(pixels_B3SS))

    def text_vectors(self, token_ids_BL: Tensor) -> Tensor:
        """[B, V] lexicon weights of texts, not normalised."""
        return lexicon_weights(self.pool_text(token_ids_BL))

    def decode_masked(self, pooled_bottleneck_BD: Tensor, masked_ids_BL: Tensor) -> Tensor:
        """[B, L, D] decoder states over a masked caption, given the bottleneck embedding."""
        padding_BL = self.text_padding(masked_ids_BL)
        return self.decoder(pooled_bottleneck_BD, masked_ids_BL, padding_BL, self.text_tower.embeddings)

    def configuration(self) -> dict[str, Any]:
        """Everything but weights and vocabulary that rebuilds the model."""
        own = {} if self.tied_text_head else {"tied_text_head": False}
        return super().configuration() | {"transform": self.transform} | own

    # --- use -------------------------------------------------------------------------------------------------------

    def encode_image(
        self, images: Sequence[Image.Image | bytes], *, top_terms: int | None = None, batch_size: int = 32
    ) -> list[LexiconVector]:
        """Lexicon vectors of pictures: all terms, or the `top_terms` that together say most of them.

        They are about as long as 1, and longer the less their scores with texts spread (`lexlip.index.scaling`).

        Raises:
            BadImage: bytes that are not a picture within the limits.
        """
        pixels = in_batches(images, batch_size, lambda batch: image_pixels(batch, self.preprocessing))
        return [vector for batch in pixels for vector in self.encode_pixels(batch, top_terms=top_terms)]

    def encode_pixels(
        self, pixels_B3SS: np.ndarray, *, top_terms: int | None = None, mirrored: bool | None = None
    ) -> list[LexiconVector]:
        """The same from preprocessed uint8 pixels [B, 3, S, S], in one batch; read mirrored too or not, if given."""
        with torch.inference_mode():
            pixels = torch.from_numpy(pixels_B3SS).to(self.device)
            weights_BV = unit_vectors(self.image_vectors, pixels, self.preprocessing.read_mirrored(mirrored))
        return sparse_rows(weights_BV, top_terms, self.term_statistics.covariance("text"))

    def encode_text(
        self, texts: Sequence[str], *, top_terms: int | None = None, batch_size: int = 64
    ) -> list[LexiconVector]:
        """Lexicon vectors of texts, as `encode_image`."""
        order = by_length(texts)
        vectors: list[LexiconVector] = []
        for tokens_BL in in_batches([texts[position] for position in order], batch_size, self.tokens):
            with torch.inference_mode():
                weights_BV = self.text_vectors(tokens_BL.to(self.device))
            vectors.extend(sparse_rows(weights_BV, top_terms, self.term_statistics.covariance("image")))
        return [vector for _, vector in sorted(zip(order, vectors, strict=True), key=lambda placed: placed[0])]

    def decode(self, vector: LexiconVector, count: int = 10) -> list[tuple[str, float]]:
        """The `count` heaviest terms with their weights, heaviest first."""
        order = vector.heaviest(count)
        return [(self.vocabulary.term_of(int(vector.terms[at])), float(vector.weights[at])) for at in order]

    def explain(self, query: str | LexiconVector, image: LexiconVector) -> list[TermShare]:
        """What each term that both share adds to the score, largest first."""
        vector = self.encode_text([query])[0] if isinstance(query, str) else query
        terms, in_query, in_image = np.intersect1d(vector.terms, image.terms, assume_unique=True, return_indices=True)
        contributions = vector.weights[in_query] * image.weights[in_image]
        total = float(contributions.sum())
        return [
            TermShare(
                self.vocabulary.term_of(int(terms[at])), float(contributions[at]), float(contributions[at]) / total
            )
            for at in np.argsort(-contributions, kind="stable")
        ]

    def term_map(self, image: Image.Image | bytes, term_ids: Sequence[int]) -> np.ndarray:
        """[rows, columns] weight that each patch of a picture gives to that one of the terms that it gives most.

        Before scaling, the picture's weight of a term is the maximum over the patches and, in transformers that have
        one, the class token. Of a picture that is read mirrored too the map is the mean of both looks.
        """
        with torch.inference_mode():
            pixels = torch.from_numpy(image_pixels([image], self.preprocessing)).to(self.device)
            rows = torch.tensor(term_ids, device=self.device)
            map_of_patches = self._term_map(pixels, rows)
            if self.preprocessing.mirrored:
                map_of_patches = (map_of_patches + self._term_map(pixels.flip(-1), rows).flip(-1)) / 2
            return map_of_patches.cpu().numpy()

    def _term_map(self, pixels_13SS: Tensor, rows: Tensor) -> Tensor:
        states_1TD = self.image_states(pixels_13SS)[:, self.image_tower.prefix_tokens :]
        head = self.image_head
        logits_TC = head.transform(states_1TD)[0] @ head.projection[rows].T + head.bias[rows]
        side = round(len(logits_TC) ** 0.5)
        return lexicon_weights(logits_TC).amax(dim=1).reshape(side, -1)

    def _words_only(self, pooled_BV: Tensor) -> Tensor:
        return pooled_BV.masked_fill(self.special_V, float("-inf"))


def _bridge(image_width: int, text_tower: TextTower) -> nn.Module:
    """From the image tower's width to the text tower's; starts in the range of the text tower's own last layer norm."""
    if image_width == text_tower.width:
        return nn.Identity()
    norm = nn.LayerNorm(text_tower.width)
    last = [module for module in text_tower.encoder.modules() if isinstance(module, nn.LayerNorm)][-1]
    norm.load_state_dict(last.state_dict())
    return nn.Sequential(nn.Linear(image_width, text_tower.width), norm)
