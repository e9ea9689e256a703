"""How a shard is built: what is kept of each vector and how it is laid out."""

from dataclasses import dataclass

SMALLEST_IMPACT_BITS = 4
LARGEST_IMPACT_BITS = 8
LARGEST_ROW_SHARE = 0.9  # so that a list of gaps has fewer entries than 16 bits can count


@dataclass(frozen=True)
class BuildSettings:
    """Settings of `build_shard`; they are recorded in the manifest of the index.

    Attributes:
        top_terms: keep only this many heaviest terms a document; None keeps all.
        impact_bits: bits of a quantised weight, 4 to 8. Fewer bits make a smaller index and cost some recall, which
        is measured
            and reported while building.
        maximum_weight: the weight that becomes the highest impact. None takes the largest weight of the shard. Give
        it when shards
            are built apart and their scores should be equal to the last bit; a larger weight in the data is then an
            error.
        ordering_terms: heaviest terms a document that decide which documents are stored side by side. 0 keeps the
        input order
            (builds faster, searches slower).
        row_share: a term in more than this share of the blocks of 64 documents is laid out for direct access, which is
            faster and larger. 0.1 is fast; 0.2 is smallest. Measured on a million synthetic documents of 64 (16) terms:
            167 (41) bytes a document with 8 bits and 0.1, 134 (34) with 5 bits and 0.2.
        keep_exact_weights: also write the weights as 16-bit floats in a file of their own, so that `Index.search`
        can rerank.
    """

    top_terms: int | None = None
    impact_bits: int = 8
    maximum_weight: float | None = None
    ordering_terms: int = 16
    row_share: float = 0.1
    keep_exact_weights: bool = False

    def __post_init__(self) -> None:
        if not SMALLEST_IMPACT_BITS <= self.impact_bits <= LARGEST_IMPACT_BITS:
            raise ValueError(
                f"impact_bits is {self.impact_bits}; it must be {SMALLEST_IMPACT_BITS} to {LARGEST_IMPACT_BITS}"
            )
        if self.top_terms is not None and self.top_terms < 1:
            raise ValueError(f"top_terms is {self.top_terms}; it must be at least 1, or None to keep all terms")
        if self.maximum_weight is not None and not self.maximum_weight > 0:
            raise ValueError(f"maximum_weight is {self.maximum_weight}; it must be positive")
        if not 0 < self.row_share <= LARGEST_ROW_SHARE:
            raise ValueError(f"row_share is {self.row_share}; it must be above 0 and at most {LARGEST_ROW_SHARE}")
        if self.ordering_terms < 0:
            raise ValueError(f"ordering_terms is {self.ordering_terms}; it must be 0 or more")
