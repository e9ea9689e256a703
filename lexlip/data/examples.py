"""From a table of pairs to one dictionary of arrays: decoded, augmented, tokenised and masked."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lexlip.data.augmentation import AugmentationSettings
from lexlip.data.images import ImageLimits
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.vocabulary import Vocabulary


@dataclass(frozen=True)
class ExampleSettings:
    text_tokens: int = 40
    self_mask_share: float = 0.30
    decoder_mask_share: float = 0.50
    captions_per_image: int = 1  # 0: images only
    augment: bool = True
    augmentation: AugmentationSettings = AugmentationSettings()
    seed: int = 0


@dataclass(frozen=True)
class ExampleBuilder:
    """Picklable and stateless."""

    vocabulary: Vocabulary
    preprocessing: ImagePreprocessing
    settings: ExampleSettings = ExampleSettings()
    limits: ImageLimits = ImageLimits()

    def __call__(self, pairs: pa.Table, epoch: int) -> dict[str, np.ndarray]:
        """image_id, problem object [N]; pixels uint8 [N,3,S,S]; token_ids, encoder_masked_ids, encoder_labels,
        decoder_masked_ids, decoder_labels int32 [N,C,L]."""
        ...
