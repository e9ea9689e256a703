"""Zero-shot classification: a picture belongs to the class whose name, put into sentences, is most similar to it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from lexlip.evaluation.recall import Recall, ranks_of_right
from lexlip.evaluation.similarity import dense_scores, sparse_scores
from lexlip.tables import SMALLEST_LENGTH, LexiconVector

# Sentences as CLIP uses them (Radford et al. 2021, section 3.1.4), and the name alone.
TEMPLATES = ("a photo of a {}.", "an image of a {}.", "there is a {} in the scene.", "{}")


@dataclass(frozen=True)
class ClassificationEvaluation:
    """What one model reaches.

    Attributes:
        top1, top5: share of pictures, in percent, with one of their classes first, or among the first five.
        images, classes: how many.
    """

    top1: float
    top5: float
    images: int
    classes: int

    def to_json(self) -> dict[str, float]:
        """`{"top1", "top5", "images", "classes"}`."""
        return asdict(self)


def mean_dense(vectors_TE: np.ndarray) -> np.ndarray:
    """[E] the direction between some vectors of unit length."""
    mean_E = vectors_TE.mean(axis=0)
    return mean_E / max(float(np.linalg.norm(mean_E)), SMALLEST_LENGTH)


def mean_lexicon(vectors: Sequence[LexiconVector]) -> LexiconVector:
    """The direction between some lexicon vectors, of unit length.

    How long these are says how far each spreads among all texts. Sentences of one class are to count alike, and so are
    the few classes that a picture is compared with.
    """
    units = [vector.scaled_to_unit_length() for vector in vectors]
    terms, places = np.unique(np.concatenate([unit.terms for unit in units]), return_inverse=True)
    weights = np.bincount(places, np.concatenate([unit.weights for unit in units]), minlength=len(terms))
    return LexiconVector(terms.astype(np.int32), weights).scaled_to_unit_length()


def classify(
    images: Sequence[LexiconVector] | np.ndarray,
    sentences: Sequence[Sequence[LexiconVector] | np.ndarray],
    labels: Sequence[np.ndarray],
) -> ClassificationEvaluation:
    """Compares every picture with every class.

    Args:
        images: N vectors, lexicon vectors or [N, E].
        sentences: for each class the vectors of its sentences, of the same kind.
        labels: for each picture the numbers of its classes, at least one; any of them is right.
    """
    if isinstance(images, np.ndarray):
        classes_CE = np.stack([mean_dense(np.asarray(vectors)) for vectors in sentences])
        ranks = ranks_of_right(dense_scores(images, classes_CE), labels, -np.inf)
    else:
        classes = [mean_lexicon(list(vectors)) for vectors in sentences]
        # A picture that shares no word with a class is not of that class.
        ranks = ranks_of_right(sparse_scores(images, classes), labels, 0.0)
    found = Recall.of_ranks(ranks)
    return ClassificationEvaluation(found.r1, found.r5, len(images), len(sentences))
