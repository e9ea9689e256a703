"""The five-captions protocol: both directions of image-text retrieval, for lexicon vectors and for dense ones.

Text to image: every caption is a query and has one right image. Image to text: every image is a query and is found at
the rank of its best caption. Images without captions are no queries but stay in the way, as distractors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lexlip.errors import DataError
from lexlip.evaluation.recall import Recall, ranks_of_right
from lexlip.evaluation.similarity import dense_scores, sparse_scores
from lexlip.tables import LexiconVector

if TYPE_CHECKING:
    from lexlip.evaluation.caption_fusion import CaptionFusion
    from lexlip.evaluation.query_encoding import QueryEncoding


@dataclass(frozen=True)
class TermCounts:
    """Mean number of terms of a lexicon vector."""

    image_mean: float
    text_mean: float

    def to_json(self) -> dict[str, float]:
        """`{"image_mean", "text_mean"}`."""
        return {"image_mean": self.image_mean, "text_mean": self.text_mean}


@dataclass(frozen=True)
class RetrievalEvaluation:
    """What one model reaches on one set of pairs.

    Attributes:
        text_to_image, image_to_text: recall in percent.
        images, captions: size of the set.
        terms: mean terms per vector; None for a dense model.
        top_terms_in_captions: share of the ten heaviest terms of an image that occur in its own captions, in percent;
            None for a dense model.
        telling_terms_in_captions: the same of the ten heaviest that say something: without "a", "the" and punctuation.
        lookup: the same images and captions with queries from a query lookup instead of the text tower.
        query_encoding: what making a query's vector takes by either, one text at a time; with `lookup`.
        fusion: text to image with the other captions of every image indexed too.
        mirrored: whether pictures were read mirrored too.
    """

    text_to_image: Recall
    image_to_text: Recall
    images: int
    captions: int
    terms: TermCounts | None = None
    top_terms_in_captions: float | None = None
    telling_terms_in_captions: float | None = None
    lookup: RetrievalEvaluation | None = None
    query_encoding: QueryEncoding | None = None
    fusion: CaptionFusion | None = None
    mirrored: bool = False

    def to_json(self) -> dict:
        """`{"text_to_image": {"r1", "r5", "r10"}, "image_to_text": {...}, "terms": {"image_mean", "text_mean"}, ...}`.

        What only lexicon vectors have is left out for a dense model, and `mirrored` where it is not so.
        """
        record: dict = {
            "text_to_image": self.text_to_image.to_json(),
            "image_to_text": self.image_to_text.to_json(),
            "images": self.images,
            "captions": self.captions,
        }
        if self.mirrored:
            record["mirrored"] = True
        if self.terms is not None:
            record["terms"] = self.terms.to_json()
        if self.top_terms_in_captions is not None:
            record["top_terms_in_captions"] = self.top_terms_in_captions
            record["telling_terms_in_captions"] = self.telling_terms_in_captions
        if self.lookup is not None:
            record["lookup"] = self.lookup.to_json()
        if self.query_encoding is not None:
            record["query_encoding"] = self.query_encoding.to_json()
        if self.fusion is not None:
            record["fusion"] = self.fusion.to_json()
        return record


@dataclass(frozen=True)
class RightAnswers:
    """Which image each caption describes.

    Attributes:
        image_of_caption: [C] int64, the position of the caption's image among the images.
        images: number of images.
    """

    image_of_caption: np.ndarray
    images: int

    def __post_init__(self) -> None:
        if not len(self.image_of_caption):
            raise DataError("no captions to evaluate with: the pairs need captions that are not empty")

    @property
    def of_captions(self) -> list[np.ndarray]:
        """For each caption the position of its one right image."""
        return list(self.image_of_caption[:, None])

    @property
    def described(self) -> np.ndarray:
        """Positions of the images that have a caption, ascending."""
        return np.unique(self.image_of_caption)

    @property
    def of_images(self) -> list[np.ndarray]:
        """For each described image the positions of its captions."""
        order = np.argsort(self.image_of_caption, kind="stable")
        bounds = np.searchsorted(self.image_of_caption[order], self.described)
        return np.split(order, bounds[1:])


def evaluate_sparse(
    images: Sequence[LexiconVector], captions: Sequence[LexiconVector], right: RightAnswers
) -> RetrievalEvaluation:
    """Recall of lexicon vectors, exact in their floating-point weights. Sharing no term is not being found."""
    queries = [images[position] for position in right.described]
    return RetrievalEvaluation(
        text_to_image=Recall.of_ranks(ranks_of_right(sparse_scores(captions, images), right.of_captions, 0.0)),
        image_to_text=Recall.of_ranks(ranks_of_right(sparse_scores(queries, captions), right.of_images, 0.0)),
        images=len(images),
        captions=len(captions),
        terms=TermCounts(mean_terms(images), mean_terms(captions)),
    )


def evaluate_dense(images_IE: np.ndarray, captions_CE: np.ndarray, right: RightAnswers) -> RetrievalEvaluation:
    """Recall of dense vectors by inner product."""
    queries = images_IE[right.described]
    text_ranks = ranks_of_right(dense_scores(captions_CE, images_IE), right.of_captions, -np.inf)
    image_ranks = ranks_of_right(dense_scores(queries, captions_CE), right.of_images, -np.inf)
    return RetrievalEvaluation(
        Recall.of_ranks(text_ranks), Recall.of_ranks(image_ranks), len(images_IE), len(captions_CE)
    )


def mean_terms(vectors: Sequence[LexiconVector]) -> float:
    """Mean number of terms; 0 for no vectors."""
    return round(sum(len(vector) for vector in vectors) / max(len(vectors), 1), 2)
