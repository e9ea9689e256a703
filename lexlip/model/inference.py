"""Between Python objects and batches of tensors: pictures to pixels, texts to tokens, dense rows to sparse vectors.

Shapes: B rows, S pixels a side, L text tokens, V vocabulary, X width of a vector.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from lexlip.data.images import ImageLimits, decode_image
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import ModelError
from lexlip.index.pursuit import keep_terms_by_pursuit
from lexlip.index.scaling import scale_by_spread
from lexlip.index.term_covariance import TermCovariance
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary

Item = TypeVar("Item")
Batch = TypeVar("Batch")


def in_batches(items: Sequence[Item], size: int, prepare: Callable[[Sequence[Item]], Batch]) -> Iterator[Batch]:
    """Prepared batches of at most `size` items."""
    for start in range(0, len(items), size):
        yield prepare(items[start : start + size])


def by_length(texts: Sequence[str]) -> list[int]:
    """Positions of texts, the shortest first: a batch of texts of like length is hardly padded."""
    return sorted(range(len(texts)), key=lambda position: len(texts[position]))


def image_pixels(images: Sequence[Image.Image | bytes], preprocessing: ImagePreprocessing) -> np.ndarray:
    """uint8 [B, 3, S, S].

    Raises:
        BadImage: bytes that are not a picture within the limits.
    """
    limits = ImageLimits()
    return np.stack(
        [
            preprocessing.pixels(image if isinstance(image, Image.Image) else decode_image(image, limits))
            for image in images
        ]
    )


def unit_vectors(
    vectors_of: Callable[[Tensor], Tensor], pixels_B3SS: Tensor, preprocessing: ImagePreprocessing
) -> Tensor:
    """[B, X] in single precision: pictures' vectors scaled to unit length, or the means of these and their mirror's.

    A mirrored picture shows the same, but the tower sees it with other eyes: what it was unsure of differs, and is
    halved in the mean. Both looks are one after the other, so that no more memory is needed than for one.

    Args:
        vectors_of: vectors of pixels, not normalised.
        pixels_B3SS: on the model's device.
        preprocessing: says whether they are read mirrored too.
    """
    units_BX = functional.normalize(vectors_of(pixels_B3SS).float(), dim=-1)
    if not preprocessing.mirrored:
        return units_BX
    return (units_BX + functional.normalize(vectors_of(pixels_B3SS.flip(-1)).float(), dim=-1)) / 2


def text_tokens(texts: Sequence[str], vocabulary: Vocabulary, length: int) -> Tensor:
    """int64 [B, L] token ids, cut to the longest text of the batch."""
    token_ids_BL = vocabulary.encode(texts, length).token_ids
    longest = int((token_ids_BL != vocabulary.pad_id).sum(axis=1).max())
    return torch.from_numpy(token_ids_BL[:, :longest].astype(np.int64))


def sparse_rows(weights_BV: Tensor, top_terms: int | None, other_side: TermCovariance) -> list[LexiconVector]:
    """Rows as sparse vectors: cut by pursuit against the other side, then scaled by how their scores with it spread.

    Scaling after the cut rather than before it keeps pictures with many small weights comparable to those with few
    large ones; a row without any positive weight becomes an empty vector.

    Raises:
        ModelError: a weight is not finite: what comes from such a model must not look like an empty picture.
    """
    rows_BV = weights_BV.float().cpu().numpy()
    if not np.isfinite(rows_BV).all():
        raise ModelError("weights that are not finite; the model's training went wrong, take an earlier checkpoint")
    rows, terms = np.nonzero(rows_BV > 0)
    starts = np.searchsorted(rows, np.arange(len(rows_BV) + 1))
    starts, terms, weights = keep_terms_by_pursuit(
        starts, terms.astype(np.int32), rows_BV[rows, terms], top_terms, other_side
    )
    weights = scale_by_spread(starts, terms, weights, other_side)
    return [LexiconVector(terms[first:last], weights[first:last]) for first, last in itertools.pairwise(starts)]
