"""From a table of pairs to one dictionary of arrays: decoded, augmented, tokenised and masked.

Shape letters: N rows, C captions per image, L tokens, S side of the picture.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from lexlip.data.augmentation import AugmentationSettings, train_pixels
from lexlip.data.images import ImageLimits, decode_image
from lexlip.data.masking import NOT_MASKED, mask_whole_words
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import BadImage, DataError
from lexlip.vocabulary import Vocabulary

DECODED_SIDE = 2  # large JPEGs are decoded to at least this many times the model's size: crops still lose no detail


@dataclass(frozen=True)
class ExampleSettings:
    """What an example holds.

    Attributes:
        text_tokens: L, [CLS] and [SEP] included; longer captions are truncated.
        self_mask_share: share of word tokens hidden from the text encoder.
        decoder_mask_share: share of word tokens hidden from the bottlenecked decoder.
        captions_per_image: C; drawn anew each epoch, without repetition while an image has enough. 0 makes examples of
            images alone, and captions are not looked at.
        augment: vary the pictures at random; without it they are preprocessed as in evaluation.
        augmentation: how, if so.
        seed: of everything drawn, together with the epoch and the image id.
    """

    text_tokens: int = 40
    self_mask_share: float = 0.30
    decoder_mask_share: float = 0.50
    captions_per_image: int = 1
    augment: bool = True
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.text_tokens < 3:
            raise DataError(f"text_tokens must be at least 3 ([CLS], a word, [SEP]), not {self.text_tokens}")
        if self.captions_per_image < 0:
            raise DataError(f"captions_per_image must not be negative, but is {self.captions_per_image}")
        if not (0 <= self.self_mask_share <= 1 and 0 <= self.decoder_mask_share <= 1):
            raise DataError("self_mask_share and decoder_mask_share must lie in 0..1")


@dataclass(frozen=True)
class ExampleBuilder:
    """Makes examples; stateless and picklable, so it travels to the workers that decode.

    What a row becomes depends on (seed, epoch, image id) alone: not on the other rows, their order or the worker.
    """

    vocabulary: Vocabulary
    preprocessing: ImagePreprocessing
    settings: ExampleSettings = field(default_factory=ExampleSettings)
    limits: ImageLimits = field(default_factory=ImageLimits)

    def __call__(self, pairs: pa.Table, epoch: int) -> dict[str, np.ndarray]:
        """Examples of one epoch, in the order of the rows.

        Args:
            pairs: columns of the Pair table; an image, a caption or a list of them may be null.
            epoch: decides captions, crops and masks together with the seed.

        Returns:
            image_id: object (str) [N].
            problem: object (str) [N], "" when the row is fine, else image id and reason; such a row's pixels are zero,
                its tokens padding and its labels ignored, and it is the caller's to drop and count.
            pixels: uint8 [N, 3, S, S].
            token_ids: int32 [N, C, L].
            encoder_masked_ids, encoder_labels, decoder_masked_ids, decoder_labels: int32 [N, C, L].
        """
        settings, size, rows = self.settings, self.preprocessing.size, pairs.num_rows
        shape_NCL = (rows, settings.captions_per_image, settings.text_tokens)
        pad_id = self.vocabulary.pad_id
        fills = {
            "token_ids": pad_id,
            "encoder_masked_ids": pad_id,
            "encoder_labels": NOT_MASKED,
            "decoder_masked_ids": pad_id,
            "decoder_labels": NOT_MASKED,
        }
        batch: dict[str, np.ndarray] = {name: np.full(shape_NCL, fill, np.int32) for name, fill in fills.items()}
        batch["pixels"] = np.zeros((rows, 3, size, size), np.uint8)

        identifiers = [identifier or "" for identifier in pairs["image_id"].to_pylist()]
        problems = [""] * rows
        generators = [self._generator(epoch, identifier) for identifier in identifiers]
        captions = self._draw_captions(pairs, generators)
        for row, image in enumerate(pairs["image"]):
            try:
                if not identifiers[row]:
                    raise DataError("there is no image id")
                if captions[row] is None:
                    raise DataError("there is no caption with text in it")
                batch["pixels"][row] = self._pixels(image.as_py(), generators[row])
            except DataError as error:
                problems[row] = f"{identifiers[row] or 'a row without image id'}: {error}"
        fine = [row for row in range(rows) if not problems[row]]
        self._add_texts(batch, {row: captions[row] or [] for row in fine}, generators)
        batch["image_id"] = np.array(identifiers, dtype=object)
        batch["problem"] = np.array(problems, dtype=object)
        return batch

    def _generator(self, epoch: int, identifier: str) -> np.random.Generator:
        key = f"{self.settings.seed}\0{epoch}\0{identifier}".encode()
        return np.random.default_rng(int.from_bytes(hashlib.blake2b(key, digest_size=16).digest(), "little"))

    def _pixels(self, data: bytes | None, rng: np.random.Generator) -> np.ndarray:
        image = decode_image(data, self.limits, at_least=DECODED_SIDE * self.preprocessing.size)
        if not self.settings.augment:
            return self.preprocessing.pixels(image)
        try:
            return train_pixels(image, self.preprocessing, int(rng.integers(2**63)), self.settings.augmentation)
        except (ValueError, OSError) as error:  # such as a picture one pixel high
            raise BadImage(f"the image cannot be augmented ({error})") from error

    def _draw_captions(self, pairs: pa.Table, generators: list[np.random.Generator]) -> list[list[str] | None]:
        """C captions for each row, None for a row without any."""
        count = self.settings.captions_per_image
        if count == 0:
            return [[] for _ in generators]
        drawn: list[list[str] | None] = []
        for captions, rng in zip(pairs["captions"].to_pylist(), generators, strict=True):
            usable = [caption for caption in captions or () if caption and caption.strip()]
            if not usable:
                drawn.append(None)
                continue
            rounds = -(-count // len(usable))
            order = np.concatenate([rng.permutation(len(usable)) for _ in range(rounds)])
            drawn.append([usable[position] for position in order[:count]])
        return drawn

    def _add_texts(
        self, batch: dict[str, np.ndarray], captions: dict[int, list[str]], generators: list[np.random.Generator]
    ) -> None:
        """Tokenises the captions of some rows together, then masks each row by its own generator."""
        settings, count = self.settings, self.settings.captions_per_image
        tokens = self.vocabulary.encode([text for texts in captions.values() for text in texts], settings.text_tokens)
        for position, row in enumerate(captions):
            own = slice(position * count, (position + 1) * count)
            ids_CL, words_CL = tokens.token_ids[own], tokens.word_index[own]
            batch["token_ids"][row] = ids_CL
            for part, share in (("encoder", settings.self_mask_share), ("decoder", settings.decoder_mask_share)):
                masked_CL, labels_CL = mask_whole_words(ids_CL, words_CL, share, self.vocabulary, generators[row])
                batch[f"{part}_masked_ids"][row] = masked_CL
                batch[f"{part}_labels"][row] = labels_CL
