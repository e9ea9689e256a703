"""What the lexicon model and the dense baseline share: two towers, a vocabulary, preprocessing, an identity.

Shapes: B rows, S pixels a side, T image tokens, L text tokens, D width.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import ModelError
from lexlip.model.image_tower import ImageTower
from lexlip.model.inference import text_tokens
from lexlip.model.text_tower import TextTower
from lexlip.vocabulary import Vocabulary

PIXEL_RANGE = 255.0
TEXT_TOKENS = 64  # of the longest text that serving and encoding read; training may use fewer


class TwoTowers(nn.Module):
    """Image tower and text tower; subclasses add what turns tokens into one vector."""

    kind: ClassVar[str]
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self, image_tower: ImageTower, text_tower: TextTower, vocabulary: Vocabulary, preprocessing: ImagePreprocessing
    ) -> None:
        super().__init__()
        self.image_tower = image_tower
        self.text_tower = text_tower
        self.vocabulary = vocabulary
        self.preprocessing = preprocessing
        self.register_buffer("pixel_mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    def image_tokens(self, pixels_B3SS: Tensor) -> Tensor:
        """[B, T, D] tokens of uint8 pixels."""
        images_B3SS = (pixels_B3SS.to(self.pixel_mean.dtype) / PIXEL_RANGE - self.pixel_mean) / self.pixel_std
        return self.image_tower(images_B3SS)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """int64 [B, L] ids of texts, cut to what the text tower has positions for and to the longest text."""
        return text_tokens(texts, self.vocabulary, min(TEXT_TOKENS, self.text_tower.positions))

    def text_padding(self, token_ids_BL: Tensor) -> Tensor:
        """[B, L], True on padding."""
        return token_ids_BL == self.vocabulary.pad_id

    def text_states(self, token_ids_BL: Tensor) -> Tensor:
        """[B, L, D] states of the text tower."""
        return self.text_tower(token_ids_BL, self.text_padding(token_ids_BL))

    def image_vectors(self, pixels_B3SS: Tensor) -> Tensor:
        """One vector for each image, not normalised."""
        raise TypeError(f"{type(self).__name__} does not say how to pool images")

    def text_vectors(self, token_ids_BL: Tensor) -> Tensor:
        """One vector for each text, not normalised."""
        raise TypeError(f"{type(self).__name__} does not say how to pool texts")

    def configuration(self) -> dict[str, Any]:
        """Everything but weights and vocabulary that rebuilds the model, as JSON values."""
        image = self.image_tower.config
        return {
            "kind": self.kind,
            "image_tower": {
                "architecture": image.architecture,
                "image_size": image.image_size,
                "options": dict(image.options),
            },
            "text_tower": self.text_tower.configuration,
            "preprocessing": self.preprocessing.to_json(),
            "vocabulary_fingerprint": self.vocabulary.fingerprint,
        }

    def set_image_size(self, size: int) -> None:
        """Changes the resolution that the model is trained and used at; position embeddings are interpolated."""
        self.image_tower.set_image_size(size)
        self.preprocessing = replace(self.preprocessing, size=size)

    def checkpoint_activations(self, on: bool) -> None:
        """Whether towers in training keep the inputs of their blocks only and compute the rest again when needed.

        Raises:
            ModelError: a tower cannot.
        """
        self.image_tower.checkpoint_activations(on)
        self.text_tower.checkpoint_activations(on)

    def take_towers(self, other: "TwoTowers") -> None:
        """Copies the trained towers of another model over the same vocabulary; they are used at its resolution.

        Raises:
            ModelError: its towers are others.
        """
        self.set_image_size(other.preprocessing.size)
        for tower, source in ((self.image_tower, other.image_tower), (self.text_tower, other.text_tower)):
            try:
                tower.load_state_dict(source.state_dict())
            except RuntimeError as error:
                raise ModelError(f"the towers of the {other.kind} model do not fit this model's: {error}") from error

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str = "cpu") -> Self:
        """Loads a saved model, strictly, ready for use on `device`.

        Raises:
            ModelError: the folder is missing, incomplete, or holds another kind of model.
        """
        from lexlip.model.saving import load_model

        model = load_model(folder, device)
        if not isinstance(model, cls):
            raise ModelError(f"{folder} holds a {model.kind!r} model, not {cls.kind!r}")
        return model

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes weights, configuration and vocabulary to a new folder."""
        from lexlip.model.saving import save_model

        save_model(self, folder)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.pixel_mean.device

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any weight, setting or term. Reads all weights: keep the result."""
        digest = hashlib.sha256(json.dumps(self.configuration(), sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]
