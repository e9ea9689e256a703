"""New models from settings: towers from scratch or from pretrained weights, heads on top."""

from dataclasses import dataclass, field

from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import ModelError
from lexlip.model.clip import EMBEDDING_WIDTH, DenseCLIP
from lexlip.model.image_tower import ImageTower, ImageTowerConfig, load_image_weights
from lexlip.model.lexlip import LexLIP
from lexlip.model.text_tower import MaskedLMHead, TextTower, TextTowerConfig, load_pretrained_text
from lexlip.settings_text import ADDED_LATER
from lexlip.vocabulary import Vocabulary


@dataclass(frozen=True)
class ModelSettings:
    """A model before training.

    Attributes:
        image: the image tower.
        image_weights: a safetensors file or folder for it, "timm" for timm's hub, or None for a random start.
        text: the text tower when it starts from scratch.
        text_weights: a transformers folder or hub name; it replaces `text`.
        preprocessing: how pictures become pixels; its size is the training resolution.
        initial_bias: of every term in a fresh lexicon head, and added to a trained one's; below zero, vectors start
            sparse.
        tied_text_head: the text head projects with the word embeddings themselves, which learn with the text tower;
            else with a copy, which can learn while the tower is frozen.
        embedding_width: of the dense baseline.
    """

    image: ImageTowerConfig = field(default_factory=ImageTowerConfig)
    image_weights: str | None = None
    text: TextTowerConfig = field(default_factory=TextTowerConfig)
    text_weights: str | None = None
    preprocessing: ImagePreprocessing = field(default_factory=ImagePreprocessing)
    initial_bias: float = 0.0
    tied_text_head: bool = field(default=True, metadata=ADDED_LATER)
    embedding_width: int = EMBEDDING_WIDTH


def build_lexlip(settings: ModelSettings, vocabulary: Vocabulary) -> LexLIP:
    """A LexLIP model; a masked-LM head in the text checkpoint becomes the start of both heads.

    Raises:
        ModelError: weights are missing or do not fit.
    """
    image_tower, text_tower, trained = _towers(settings, vocabulary)
    transform = "masked_lm" if trained is not None else "residual"
    model = LexLIP(
        image_tower,
        text_tower,
        vocabulary,
        settings.preprocessing,
        transform,
        settings.initial_bias,
        settings.tied_text_head,
    )
    if trained is not None:
        model.text_head.transform.load_state_dict(trained.transform)
        model.text_head.bias.data.copy_(trained.bias_V + settings.initial_bias)
        model.start_image_head_from_text_head()
    return model


def build_clip(settings: ModelSettings, vocabulary: Vocabulary) -> DenseCLIP:
    """The dense baseline on the same towers.

    Raises:
        ModelError: weights are missing or do not fit.
    """
    image_tower, text_tower, _ = _towers(settings, vocabulary)
    return DenseCLIP(image_tower, text_tower, vocabulary, settings.preprocessing, settings.embedding_width)


def _towers(settings: ModelSettings, vocabulary: Vocabulary) -> tuple[ImageTower, TextTower, MaskedLMHead | None]:
    if settings.image.image_size != settings.preprocessing.size:
        raise ModelError(
            f"image tower of {settings.image.image_size} pixels, but preprocessing gives {settings.preprocessing.size}"
        )
    image_tower = ImageTower(settings.image)
    if settings.image_weights is not None:
        load_image_weights(image_tower, settings.image_weights)
    if settings.text_weights is None:
        return image_tower, TextTower.from_configuration(settings.text.to_transformers(len(vocabulary))), None
    pretrained = load_pretrained_text(settings.text_weights, vocabulary)
    return image_tower, pretrained.tower, pretrained.head
