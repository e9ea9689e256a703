"""A query encoder without a network: each term of a text has the weight that a table gives it.

A query costs a tokenisation and a few table look-ups, microseconds, where a text tower takes milliseconds; it only
knows the terms that are written, no others that mean the same. Images stay encoded by the model, so one index serves
both. After "inference-free" sparse retrieval (Geng et al. 2024), where documents are encoded and queries looked up.
`lexlip.training.lookup_learning` learns the table.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lexlip.errors import ModelError
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary

LOOKUP_FILE = "query_lookup.safetensors"
FORMAT_VERSION = 1
TEXT_TOKENS = 64  # of the longest text that is read, as by the text tower


@dataclass(frozen=True)
class QueryLookup:
    """A weight for each term.

    Attributes:
        vocabulary: of the model that the weights were learned with.
        weights_V: [V] float32, not negative; special terms have none.
    """

    vocabulary: Vocabulary
    weights_V: np.ndarray

    def __post_init__(self) -> None:
        if self.weights_V.shape != (len(self.vocabulary),):
            raise ModelError(f"{len(self.weights_V)} weights for a vocabulary of {len(self.vocabulary)} terms")

    def encode_text(self, texts: Sequence[str], *, top_terms: int | None = None) -> list[LexiconVector]:
        """Vectors of texts: the `top_terms` heaviest of their terms (all if None), scaled to unit length."""
        vectors = []
        for token_ids_L in self.vocabulary.encode(texts, TEXT_TOKENS).token_ids:
            terms = np.unique(token_ids_L)
            terms = terms[self.weights_V[terms] > 0].astype(np.int32)
            vector = LexiconVector(terms, self.weights_V[terms])
            if top_terms is not None:
                vector = vector.top(top_terms)
            vectors.append(vector.scaled_to_unit_length())
        return vectors

    def save(self, folder: str | Path) -> None:
        """Writes the table and the vocabulary into a folder; the table appears whole or not at all."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        self.vocabulary.save(target)
        facts = {"format_version": FORMAT_VERSION, "vocabulary_fingerprint": self.vocabulary.fingerprint}
        fresh = target / f".{LOOKUP_FILE}.tmp-{uuid.uuid4().hex[:8]}"
        try:
            save_file(
                {"weights": np.ascontiguousarray(self.weights_V, np.float32)}, fresh, {"lexlip": json.dumps(facts)}
            )
            fresh.replace(target / LOOKUP_FILE)
        finally:
            fresh.unlink(missing_ok=True)

    @classmethod
    def load(cls, folder: str | Path) -> "QueryLookup":
        """Reads what `save` wrote.

        Raises:
            ModelError: there is no table, it is damaged or of another format.
            VocabularyError: the folder's vocabulary is not the table's.
        """
        file = Path(folder) / LOOKUP_FILE
        if not file.is_file():
            raise ModelError(f"{file}: no such file; pipelines/learn_lookup.py makes one")
        try:
            with safe_open(file, framework="numpy") as stored:
                facts = json.loads(stored.metadata()["lexlip"])
                weights_V = stored.get_tensor("weights")
            version = facts["format_version"]
        except (SafetensorError, TypeError, KeyError, ValueError) as error:
            raise ModelError(f"{file} cannot be read ({error}); learn it again") from error
        if version != FORMAT_VERSION:
            raise ModelError(f"{file}: format version {version}, this program reads {FORMAT_VERSION}")
        vocabulary = Vocabulary.load(folder)
        vocabulary.require_same(facts["vocabulary_fingerprint"], str(file))
        return cls(vocabulary, weights_V)


def inverse_document_frequency(vocabulary: Vocabulary, texts: Sequence[str]) -> np.ndarray:
    """[V] float32 log((1 + N) / (1 + n)) of terms in n of N texts; 0 for special terms and for those in all texts.

    The classical weight of a query term: rare terms say more. A table to start learning from, or to use as it is.
    """
    counts_V = np.zeros(len(vocabulary), np.int64)
    for token_ids_L in vocabulary.encode(texts, TEXT_TOKENS).token_ids:
        counts_V[np.unique(token_ids_L)] += 1
    weights_V = np.log((1 + len(texts)) / (1 + counts_V)).astype(np.float32)
    weights_V[list(vocabulary.special_ids)] = 0.0
    return weights_V
