"""The two sides of a corpus that can become documents: its pictures, or its captions.

A side turns a unit of the corpus into what the model takes (on CPU workers: `prepare`), and asks the model for vectors
(inside the model actor: `encode`). Rows that cannot be used are dropped and named, never fatal.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
from PIL import Image

from lexlip.data.images import ImageLimits, decode_image
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.data.sources import PairUnit, read_unit
from lexlip.errors import BadImage, DataError
from lexlip.tables import LexiconVector
from pipelines.vector_parts import DroppedRow

if TYPE_CHECKING:  # the CPU tasks that prepare units have no use for torch, which takes seconds to import
    from lexlip.model.saving import Encoder

READ_ROWS = 16  # rows of encoded images held at a time; one may have 32 MB
IMAGE_BATCH = 32
THUMBNAIL_QUALITY = 85
Vectors = list[LexiconVector] | np.ndarray  # [N] lexicon vectors, or [N, E] float32 of the dense baseline
VECTOR_COLUMNS = frozenset({"id", "terms", "weights", "vector", "thumbnail"})


@dataclass(frozen=True)
class PreparedUnit:
    """A unit ready for the model.

    Attributes:
        fields: one row per document: `id`, then the stored fields.
        pixels: uint8 [N, 3, S, S] for pictures, an empty array for captions.
        dropped: the rows that cannot be encoded.
    """

    fields: pa.Table
    pixels: np.ndarray
    dropped: tuple[DroppedRow, ...]


class CorpusSide(Protocol):
    """What encoding needs to know about a side; travels to the workers."""

    def prepare(self, unit: PairUnit) -> PreparedUnit:
        """Reads a unit and makes it ready for the model."""
        ...

    def encode(self, model: Encoder, prepared: PreparedUnit, **options: Any) -> Vectors:
        """Vectors of all documents of a prepared unit; the options are those of the model (`top_terms` of LexLIP)."""
        ...


@dataclass(frozen=True)
class ImageSide:
    """Every picture is a document; its captions and other columns are stored with it.

    Attributes:
        preprocessing: the model's, mirrored or not as the job wants it.
        limits: what is decoded at all.
        thumbnail_pixels: longest side of the stored thumbnail; 0 stores none.
    """

    preprocessing: ImagePreprocessing
    limits: ImageLimits
    thumbnail_pixels: int

    def prepare(self, unit: PairUnit) -> PreparedUnit:
        """Decodes and resizes the pictures of a unit; bad ones are dropped and named."""
        kept_tables, pixels, thumbnails, dropped = [], [], [], []
        for table in _read(unit):
            kept = []
            for row, (image_id, data) in enumerate(zip(table["image_id"], table["image"], strict=True)):
                try:
                    image = decode_image(data.as_py(), self.limits)
                except BadImage as error:
                    dropped.append(DroppedRow(str(image_id.as_py()), str(error)))
                    continue
                kept.append(row)
                pixels.append(self.preprocessing.pixels(image))
                if self.thumbnail_pixels:
                    thumbnails.append(thumbnail(image, self.thumbnail_pixels))
            kept_tables.append(table.drop_columns(["image"]).take(pa.array(kept, pa.int64())))
        fields = pa.concat_tables(kept_tables, promote_options="permissive").rename_columns({"image_id": "id"})
        if self.thumbnail_pixels:
            fields = fields.append_column("thumbnail", pa.array(thumbnails, pa.binary()))
        size = self.preprocessing.size
        return PreparedUnit(
            fields, np.stack(pixels) if pixels else np.empty((0, 3, size, size), np.uint8), tuple(dropped)
        )

    def encode(self, model: Encoder, prepared: PreparedUnit, **options: Any) -> Vectors:
        """The vectors of all pictures of a prepared unit."""
        pixels, batches = prepared.pixels, range(0, len(prepared.pixels), IMAGE_BATCH)
        mirrored = self.preprocessing.mirrored
        # Pixels lie read-only in Ray's object store; torch wants memory it may write to.
        encoded = [
            model.encode_pixels(pixels[start : start + IMAGE_BATCH].copy(), mirrored=mirrored, **options)
            for start in batches
        ]
        if isinstance(encoded[0], np.ndarray):
            return np.concatenate([np.asarray(vectors) for vectors in encoded])
        return [vector for vectors in encoded for vector in vectors]


@dataclass(frozen=True)
class TextSide:
    """Every caption is a document with the id `<image id>#<number>`; it is stored with its image's id."""

    def prepare(self, unit: PairUnit) -> PreparedUnit:
        """Takes the captions of a unit apart; empty ones are dropped and named."""
        documents: dict[str, list] = {"id": [], "image_id": [], "captions": []}
        dropped = []
        for table in _read(unit):
            for image_id, captions in zip(table["image_id"].to_pylist(), table["captions"].to_pylist(), strict=True):
                for number, caption in enumerate(captions or []):
                    if not caption or not caption.strip():
                        dropped.append(DroppedRow(f"{image_id}#{number}", "the caption is empty"))
                        continue
                    documents["id"].append(f"{image_id}#{number}")
                    documents["image_id"].append(image_id)
                    documents["captions"].append([caption])
        columns = {"id": pa.string(), "image_id": pa.string(), "captions": pa.list_(pa.string())}
        fields = pa.table({name: pa.array(documents[name], kind) for name, kind in columns.items()})
        return PreparedUnit(fields, np.empty(0, np.uint8), tuple(dropped))

    def encode(self, model: Encoder, prepared: PreparedUnit, **options: Any) -> Vectors:
        """The vectors of all captions of a prepared unit."""
        return model.encode_text([captions[0] for captions in prepared.fields["captions"].to_pylist()], **options)


def _read(unit: PairUnit) -> Iterator[pa.Table]:
    for table in read_unit(unit, batch_rows=READ_ROWS):
        clash = sorted(VECTOR_COLUMNS & set(table.column_names))
        if clash:
            raise DataError(f"{unit}: column(s) {', '.join(clash)} would clash with those of the vectors; rename them")
        yield table


def thumbnail(image: Image.Image, longest_side: int) -> bytes:
    """A small JPEG of a picture."""
    small = image.copy()
    small.thumbnail((longest_side, longest_side))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()
