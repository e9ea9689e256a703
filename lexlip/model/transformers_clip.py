"""A CLIP checkpoint as transformers saves it, behind the same calls as our dense baseline: for encoding, not training.

Shapes: B rows, S pixels a side, L text tokens, E embedding width.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoTokenizer, CLIPModel

from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import ModelError
from lexlip.model.inference import image_pixels, in_batches, unit_vectors
from lexlip.model.towers import PIXEL_RANGE

MODEL_TYPE = "clip"
PREPROCESSING_FILE = "preprocessor_config.json"


@dataclass(frozen=True)
class ForeignVocabulary:
    """What is known of a vocabulary that is not ours.

    Attributes:
        fingerprint: changes with any term.
        terms: how many.
    """

    fingerprint: str
    terms: int

    def __len__(self) -> int:
        return self.terms


class TransformersCLIP(nn.Module):
    """CLIP of Radford et al. (2021) as in `transformers`: projected class token and projected end-of-text token."""

    kind: ClassVar[str] = "clip"
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, model: CLIPModel, tokenizer: Any, preprocessing: ImagePreprocessing) -> None:
        super().__init__()
        self.clip = model
        self.preprocessing = preprocessing
        self._tokenizer = tokenizer
        terms = json.dumps(sorted(tokenizer.get_vocab().items()))
        self.vocabulary = ForeignVocabulary(hashlib.sha256(terms.encode()).hexdigest()[:16], len(tokenizer))
        self.register_buffer("pixel_mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu") -> "TransformersCLIP":
        """Loads a folder that `save_pretrained` of model, tokenizer and image processor wrote; nothing is downloaded.

        Raises:
            ModelError: a file is missing or does not fit.
        """
        try:
            model = CLIPModel.from_pretrained(folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            settings = json.loads((folder / PREPROCESSING_FILE).read_text(encoding="utf-8"))
            preprocessing = ImagePreprocessing(
                size=_side(settings.get("crop_size", settings["size"])),
                mean=tuple(settings["image_mean"]),
                std=tuple(settings["image_std"]),
                resize="crop",
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{folder}: not a whole CLIP checkpoint of transformers ({error}); it needs model, tokenizer and "
                f"{PREPROCESSING_FILE}"
            ) from error
        return cls(model, tokenizer, preprocessing).eval().to(device)

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
            pixels = torch.from_numpy(pixels_B3SS).to(self.pixel_mean.device)
            return _unit(unit_vectors(self._image_vectors, pixels, self.preprocessing.read_mirrored(mirrored)))

    def encode_text(self, texts: Sequence[str], *, batch_size: int = 64) -> np.ndarray:
        """float32 [B, E] of unit length."""
        rows = []
        length = self.clip.text_model.config.max_position_embeddings
        for batch in in_batches(texts, batch_size, list):
            tokens = self._tokenizer(batch, padding=True, truncation=True, max_length=length, return_tensors="pt")
            tokens = tokens.to(self.pixel_mean.device)
            with torch.inference_mode():
                states = self.clip.text_model(tokens["input_ids"], attention_mask=tokens["attention_mask"])
                rows.append(_unit(self.clip.text_projection(states.pooler_output)))
        return self._stack(rows)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any weight, setting or term. Reads all weights: keep the result."""
        facts = [self.clip.config.to_json_string(), json.dumps(self.preprocessing.to_json(), sort_keys=True)]
        digest = hashlib.sha256("\n".join([*facts, self.vocabulary.fingerprint]).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    def _image_vectors(self, pixels_B3SS: Tensor) -> Tensor:
        images_B3SS = (pixels_B3SS.float() / PIXEL_RANGE - self.pixel_mean) / self.pixel_std
        return self.clip.visual_projection(self.clip.vision_model(pixel_values=images_B3SS).pooler_output)

    def _stack(self, rows: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(rows) if rows else np.empty((0, self.clip.text_projection.out_features), np.float32)


def is_transformers_clip(configuration: Any) -> bool:
    """Whether a `config.json` is that of a CLIP checkpoint of transformers."""
    return isinstance(configuration, dict) and configuration.get("model_type") == MODEL_TYPE


def _side(size: Any) -> int:
    if isinstance(size, dict):
        return int(size["height"] if "height" in size else size["shortest_edge"])
    return int(size)


def _unit(vectors_BE: Tensor) -> np.ndarray:
    return functional.normalize(vectors_BE.float(), dim=-1).cpu().numpy()
