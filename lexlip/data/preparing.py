"""Somebody's pairs made ready for training: pictures decoded to be sure of them and made smaller, captions cleaned,
bytes hashed, so that exact copies are found and a picture is in the same split wherever it turns up.
"""

import hashlib
import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from PIL import Image

from lexlip.data.images import ImageLimits, decode_image
from lexlip.errors import DataError
from lexlip.tables import PAIR_SCHEMA

DIGEST_BYTES = 16
DIGEST_COLUMN = "digest"
TRAIN, VAL, TEST = "train", "val", "test"
# What data sets call their splits, and what they are called here.
SPLIT_NAMES = {"train": TRAIN, "restval": TRAIN, "val": VAL, "validation": VAL, "dev": VAL, "test": TEST}


@dataclass(frozen=True)
class PrepareSettings:
    """What becomes of the rows of a source.

    Attributes:
        shorter_side: pictures whose shorter side has more pixels are scaled down to it; 0 keeps all as they are.
        quality: of JPEGs that are written anew, 1 to 95. Pictures that need no scaling keep their bytes.
        captions_required: whether rows without a caption are dropped; otherwise they get an empty list.
        val_share, test_share: shares of the pictures that go into these splits, by a hash of their bytes.
        own_splits: take the splits from the source's column `split` instead.
        seed: of the hash that decides about splits.
        deduplicate: whether exact copies of a picture are dropped, their captions going to the one that stays. Own
            splits for validation and test stay whole, and training pictures that are copies of theirs are dropped.
        shard_rows: most rows of a Parquet file.
    """

    shorter_side: int = 384
    quality: int = 90
    captions_required: bool = True
    val_share: float = 0.0
    test_share: float = 0.0
    own_splits: bool = False
    seed: int = 0
    deduplicate: bool = True
    shard_rows: int = 2048

    def __post_init__(self) -> None:
        if self.shorter_side < 0 or not 1 <= self.quality <= 95 or self.shard_rows < 1:
            raise DataError("shorter_side must not be negative, quality be 1 to 95, and shard_rows at least 1")
        if min(self.val_share, self.test_share) < 0 or self.val_share + self.test_share >= 1:
            raise DataError("val_share and test_share must not be negative, and leave something for training")
        if self.own_splits and (self.val_share or self.test_share):
            raise DataError("give either own_splits, or val_share and test_share")


@dataclass(frozen=True)
class PreparedRows:
    """Rows that can be used, and why others cannot.

    Attributes:
        table: a Pair table with the source's other columns and `digest`, 16 bytes that stand for the picture's.
        dropped: (image id, reason).
    """

    table: pa.Table
    dropped: list[tuple[str, str]]


def prepare_rows(pairs: pa.Table, settings: PrepareSettings, limits: ImageLimits) -> PreparedRows:
    """Prepares some rows of a source, in their order; a row that cannot be used is left out and named."""
    kept, images, captions, digests = [], [], [], []
    dropped: list[tuple[str, str]] = []
    for row in range(pairs.num_rows):
        image_id = pairs["image_id"][row].as_py()
        try:
            if not image_id:
                raise DataError("there is no image id")
            texts = clean_captions(pairs["captions"][row].as_py())
            if settings.captions_required and not texts:
                raise DataError("there is no caption with text in it")
            data = pairs["image"][row].as_py()
            image = smaller_image(data, settings.shorter_side, settings.quality, limits)
        except DataError as error:
            dropped.append((image_id or "a row without image id", str(error)))
            continue
        kept.append(row)
        images.append(image)
        captions.append(texts)
        digests.append(hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest())
    table = pairs.take(pa.array(kept, pa.int64()))
    for name, values in (("image", images), ("captions", captions)):
        field = PAIR_SCHEMA.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
    return PreparedRows(table.append_column(DIGEST_COLUMN, pa.array(digests, pa.binary(DIGEST_BYTES))), dropped)


def clean_captions(captions: list[str | None] | None) -> list[str]:
    """Captions with text in them, without spaces around and between them, each once."""
    cleaned = [" ".join(caption.split()) for caption in captions or () if caption]
    return list(dict.fromkeys(caption for caption in cleaned if caption))


def smaller_image(data: bytes | None, shorter_side: int, quality: int, limits: ImageLimits) -> bytes:
    """An image file whose shorter side has at most `shorter_side` pixels; the same bytes when it has already.

    Args:
        data: an encoded image.
        shorter_side: in pixels; 0 keeps every size.
        quality: of the JPEG that is written.
        limits: what is refused.

    Raises:
        BadImage: there is none, or it cannot be decoded safely.
    """
    image = decode_image(data, limits, at_least=shorter_side or None)
    assert data is not None  # decode_image refuses None
    with Image.open(io.BytesIO(data), formats=limits.formats) as header:
        width, height = header.size
    if not shorter_side or min(width, height) <= shorter_side:
        return data
    # The decoded picture may have been turned upright, and its sides rounded when it was decoded at a lower resolution.
    if (image.width > image.height) != (width > height):
        width, height = height, width
    scale = shorter_side / min(width, height)
    sink = io.BytesIO()
    smaller = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    smaller.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def splits_of(table: pa.Table, settings: PrepareSettings) -> list[str]:
    """The split of every prepared row: by its picture's bytes, or by the source's own column.

    Raises:
        DataError: own splits are wanted, but there are none or they have unknown names.
    """
    if not settings.own_splits:
        return [_drawn_split(digest, settings) for digest in table[DIGEST_COLUMN].to_pylist()]
    if "split" not in table.schema.names:
        raise DataError("the source has no column 'split'; give --val-share and --test-share instead of own splits")
    names = table["split"].to_pylist()
    unknown = sorted({str(name) for name in names if name not in SPLIT_NAMES})
    if unknown:
        raise DataError(f"the source has splits called {', '.join(unknown)}; known are {', '.join(SPLIT_NAMES)}")
    return [SPLIT_NAMES[name] for name in names]


def _drawn_split(digest: bytes, settings: PrepareSettings) -> str:
    drawn = hashlib.blake2b(digest, digest_size=8, key=str(settings.seed).encode()).digest()
    place = int.from_bytes(drawn, "little") / 2**64
    if place < settings.test_share:
        return TEST
    return VAL if place < settings.test_share + settings.val_share else TRAIN


def rows_to_keep(digests: np.ndarray, protected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of several exact copies stay: all that are protected, else the first.

    Args:
        digests: [N] of bytes, equal for copies.
        protected: [N] bool, rows that are never dropped.

    Returns:
        [N] bool, the rows to keep; and [N] int64, for every row the first row kept among its copies.
    """
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    numbers = np.arange(digests.size)
    keeper = first.copy()
    last_first = np.flatnonzero(protected)[::-1]
    keeper[group[last_first]] = last_first  # the first protected row of a group is written last
    return protected | (numbers == keeper[group]), keeper[group]
