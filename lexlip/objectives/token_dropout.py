"""Heads that see some of the towers' tokens at a time, so that they cannot learn their photos by heart.

Shapes: N images, B captions, T image tokens, K of them kept, L text tokens, D width of a tower.

Heads on frozen towers meet the same few thousand rows of tokens in every epoch, and soon know each by a token or two
that no other has. With half of an image's patches and some of a caption's words hidden, others each time, that does not
help them: what every part of a picture says has to be enough. It costs nothing (fewer tokens are projected), and to the
maximum over tokens it is what augmented views are to a tower. A teacher sees everything, so that the heads also learn
what a whole picture would have said. After PatchDropout (arXiv 2208.07220) and FLIP (arXiv 2212.00794), which drop an
encoder's inputs, to save time.
"""

from dataclasses import dataclass, replace

import torch

from lexlip.errors import ModelError
from lexlip.objectives.tower_memory import Remembered
from lexlip.objectives.views import Batch
from lexlip.vocabulary import Vocabulary


@dataclass(frozen=True)
class TokenDropout:
    """Hides tokens of remembered towers from the heads.

    Attributes:
        image_share: of each image's tokens.
        text_share: of the words of captions, on average: each caption's own share is drawn between none and twice as
            much, so that whole captions and mere fragments come up too.
    """

    image_share: float = 0.5
    text_share: float = 0.2

    def __post_init__(self) -> None:
        if not (0 <= self.image_share < 1 and 0 <= self.text_share <= 0.5):
            raise ModelError(f"{self}: image_share has to lie in 0..1, below 1, and text_share in 0..0.5")

    def __call__(self, batch: Batch, remembered: Remembered, vocabulary: Vocabulary) -> tuple[Batch, Remembered]:
        """The batch with dropped words made padding, and what is left of the towers' outputs.

        Args:
            batch: whose captions are as they were read.
            remembered: the towers' outputs for it.
            vocabulary: special terms stay, being no words.
        """
        tokens_NTD, ids_BL = remembered.image_tokens_NTD, batch.token_ids_BL
        images, tokens, width = tokens_NTD.shape
        kept = max(1, round((1 - self.image_share) * tokens))
        places_NK = torch.rand(images, tokens, device=tokens_NTD.device).topk(kept, dim=1).indices
        kept_NKD = tokens_NTD.gather(1, places_NK[:, :, None].expand(-1, -1, width))
        share_B1 = 2 * self.text_share * torch.rand(len(ids_BL), 1, device=ids_BL.device)
        words_BL = torch.isin(ids_BL, torch.tensor(list(vocabulary.special_ids), device=ids_BL.device), invert=True)
        dropped_BL = words_BL & (torch.rand(ids_BL.shape, device=ids_BL.device) < share_B1)
        return (
            replace(batch, token_ids_BL=ids_BL.masked_fill(dropped_BL, vocabulary.pad_id)),
            replace(remembered, image_tokens_NTD=kept_NKD),
        )
