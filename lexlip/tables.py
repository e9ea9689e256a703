"""The tables that stations exchange. Column names are part of the interface.

| table | columns | made by | read by |
|---|---|---|---|
| Pair | image_id string, image binary, captions list<string> | data sources | training, encoding, evaluation |
| LexiconVector | id string, terms list<int32> ascending, weights list<float32> | encoding | index, evaluation |
| DenseVector | id string, vector list<float32> | encoding with the dense baseline | FAISS, evaluation |

Other columns pass through a station untouched; behind a LexiconVector they become the index's stored fields.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lexlip.errors import DataError

PAIR_SCHEMA = pa.schema(
    [pa.field("image_id", pa.string()), pa.field("image", pa.binary()), pa.field("captions", pa.list_(pa.string()))]
)
LEXICON_VECTOR_SCHEMA = pa.schema(
    [pa.field("id", pa.string()), pa.field("terms", pa.list_(pa.int32())), pa.field("weights", pa.list_(pa.float32()))]
)
DENSE_VECTOR_SCHEMA = pa.schema([pa.field("id", pa.string()), pa.field("vector", pa.list_(pa.float32()))])
SMALLEST_LENGTH = 1e-12  # of vectors that are scaled: an empty one stays as it is


@dataclass(frozen=True)
class LexiconVector:
    """One image or text as a sparse vector over the vocabulary.

    Attributes:
        terms: [N] int32, strictly ascending term ids.
        weights: [N] float32, positive and finite.
    """

    terms: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.terms)

    def heaviest(self, count: int) -> np.ndarray:
        """Positions of the `count` heaviest terms, heaviest first, ties by lower term id."""
        return np.lexsort((self.terms, -self.weights))[:count]

    def top(self, count: int) -> "LexiconVector":
        """The `count` heaviest terms, ties by lower term id, still in ascending order of terms."""
        if len(self.terms) <= count:
            return self
        kept = np.sort(self.heaviest(count))
        return LexiconVector(self.terms[kept], self.weights[kept])

    def scaled_to_unit_length(self) -> "LexiconVector":
        """The same direction; a vector without terms stays one."""
        length = float(np.sqrt(np.square(self.weights, dtype=np.float64).sum()))
        return LexiconVector(self.terms, (self.weights / max(length, SMALLEST_LENGTH)).astype(np.float32))


def require_columns(schema: pa.Schema, wanted: pa.Schema, source: str) -> None:
    """Raises `DataError` naming `source` and the columns of `wanted` that `schema` lacks."""
    missing = [name for name in wanted.names if name not in schema.names]
    if missing:
        raise DataError(
            f"{source}: column(s) {', '.join(missing)} missing; found {', '.join(schema.names) or 'none'}. "
            f"Needed: {', '.join(wanted.names)}."
        )
