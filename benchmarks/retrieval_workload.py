"""Lexicon vectors to measure with: a seeded synthetic collection, or real vectors from Parquet, cut to a setting,
with matching dense vectors.

The synthetic collection is strongly topical. Each of 500 topics owns 60 terms of an active vocabulary of 12,000 with
falling shares; a
document mixes one to three topics with global noise until it has about 64 distinct terms; a weight is log(1 + 1.5 x
the sum of gamma
draws). Queries are made alike, with about 20 terms. A setting "16-4" keeps the 16 heaviest terms of a document and 4
of a query.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sparse
from numba import njit

from lexlip.index.pruning import keep_top_terms

VOCABULARY_TERMS = 30_522
DENSE_WIDTH = 512
SETTINGS: dict[str, tuple[int | None, int | None]] = {"full": (None, None), "16-4": (16, 4), "16-8": (16, 8)}

_ACTIVE_TERMS, _TOPICS, _TOPIC_TERMS = 12_000, 500, 60
_LARGEST_WEIGHT, _SMALLEST_WEIGHT = 3.5, 0.01


@dataclass(frozen=True)
class Vectors:
    """Sparse vectors as one run of postings: vector i has terms[starts[i]:starts[i + 1]]."""

    starts: np.ndarray
    terms: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return self.starts.size - 1

    def one(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Terms and weights of one vector."""
        here = slice(self.starts[number], self.starts[number + 1])
        return self.terms[here], self.weights[here]

    def cut(self, top_terms: int | None) -> "Vectors":
        """The heaviest terms of every vector."""
        return Vectors(*keep_top_terms(self.starts, self.terms, self.weights, top_terms))

    def first(self, count: int) -> "Vectors":
        """The first vectors."""
        end = self.starts[count]
        return Vectors(self.starts[: count + 1], self.terms[:end], self.weights[:end])

    def matrix(self) -> sparse.csr_matrix:
        """[vectors, vocabulary] float32."""
        return sparse.csr_matrix((self.weights, self.terms, self.starts), shape=(len(self), VOCABULARY_TERMS))


@njit(cache=True)
def _draw(
    vectors,
    seed,
    log_mean,
    log_spread,
    fewest,
    most,
    noise,
    popularity,
    topic_terms,
    topic_shares,
    topic_popularity,
    room,
):
    """Draws vectors; the cumulative shares of terms and topics are given. Returns starts, terms (unordered in a
    vector), weights.
    """
    np.random.seed(seed)
    starts = np.zeros(vectors + 1, np.int64)
    terms = np.empty(room, np.int32)
    weights = np.empty(room, np.float32)
    sums = np.zeros(popularity.size, np.float32)
    drawn = np.empty(4096, np.int32)
    topics = np.empty(3, np.int64)
    shares = np.empty(3)
    write = 0
    for vector in range(vectors):
        wanted = min(max(int(np.exp(log_mean + log_spread * np.random.randn()) + 0.5), fewest), most)
        mixed = 1 + int(np.random.random() * 3)
        total = 0.0
        for turn in range(mixed):
            topics[turn] = min(np.searchsorted(topic_popularity, np.random.random()), topic_popularity.size - 1)
            shares[turn] = np.random.random() + 0.2
            total += shares[turn]
        distinct = 0
        draws = 0
        while distinct < wanted and draws < wanted * 12:
            draws += 1
            if np.random.random() < noise:
                term = min(np.searchsorted(popularity, np.random.random()), popularity.size - 1)
                strength = 0.35
            else:
                left = np.random.random() * total
                turn = 0
                while turn < mixed - 1 and left > shares[turn]:
                    left -= shares[turn]
                    turn += 1
                rank = min(np.searchsorted(topic_shares, np.random.random()), topic_shares.size - 1)
                term = topic_terms[topics[turn], rank]
                strength = 0.6 + 1.6 / (1.0 + 0.15 * rank)
            if sums[term] == 0.0:
                drawn[distinct] = term
                distinct += 1
            sums[term] += np.float32(strength * np.random.gamma(2.0, 0.5))
        for place in range(distinct):
            term = drawn[place]
            terms[write] = term
            weights[write] = min(max(np.log1p(sums[term] * 1.5), _SMALLEST_WEIGHT), _LARGEST_WEIGHT)
            sums[term] = 0.0
            write += 1
        starts[vector + 1] = write
    return starts, terms[:write].copy(), weights[:write].copy()


def _cumulative(count: int, exponent: float) -> np.ndarray:
    shares = 1.0 / np.arange(1, count + 1) ** exponent
    return np.cumsum(shares / shares.sum())


def synthetic(documents: int, queries: int) -> tuple[Vectors, Vectors]:
    """Documents and queries with about 64 and 20 terms, the same for the same numbers."""
    random = np.random.default_rng(7)
    names = random.choice(VOCABULARY_TERMS, _ACTIVE_TERMS, replace=False).astype(np.int32)
    owned = 1.0 / np.arange(1, _ACTIVE_TERMS + 1) ** 0.5  # topics own terms of middling frequency
    owned /= owned.sum()
    topic_terms = np.stack(
        [random.choice(_ACTIVE_TERMS, _TOPIC_TERMS, replace=False, p=owned) for _ in range(_TOPICS)]
    ).astype(np.int32)
    world = (_cumulative(_ACTIVE_TERMS, 0.9), topic_terms, _cumulative(_TOPIC_TERMS, 0.7), _cumulative(_TOPICS, 0.6))
    spread = 0.45
    log_mean = np.log(64) - spread**2 / 2
    made = _draw(documents, 11 + documents % 97, log_mean, spread, 8, 400, 0.3, *world, documents * 75 + 4096)
    asked = _draw(queries, 5, np.log(19), 0.25, 12, 30, 0.2, *world, queries * 40)
    return _named(names, *made), _named(names, *asked)


def _named(names: np.ndarray, starts: np.ndarray, terms: np.ndarray, weights: np.ndarray) -> Vectors:
    """Gives terms their ids and puts them in ascending order inside each vector."""
    terms = names[terms]
    rows = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    order = np.argsort(rows * VOCABULARY_TERMS + terms, kind="stable")
    return Vectors(starts, terms[order], weights[order])


def read_vectors(path: Path) -> Vectors:
    """All vectors of a LexiconVector Parquet file, or of a folder of parts as `pipelines/encode.py` leaves it."""
    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    tables = [pq.read_table(file, columns=["terms", "weights"]) for file in files]
    table = pa.concat_tables(tables).combine_chunks()
    terms, weights = table["terms"].chunk(0), table["weights"].chunk(0)
    starts = terms.offsets.to_numpy().astype(np.int64)
    return Vectors(starts - starts[0], terms.flatten().to_numpy(), weights.flatten().to_numpy())


def write_vectors(vectors: Vectors, path: Path) -> None:
    """Writes a LexiconVector Parquet file with numbers for ids."""
    schema = pa.schema([("id", pa.string()), ("terms", pa.list_(pa.int32())), ("weights", pa.list_(pa.float32()))])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, len(vectors), 50_000):
            last = min(first + 50_000, len(vectors))
            here = slice(vectors.starts[first], vectors.starts[last])
            offsets = pa.array((vectors.starts[first : last + 1] - vectors.starts[first]).astype(np.int32))
            columns = [
                pa.array([str(number) for number in range(first, last)]),
                pa.ListArray.from_arrays(offsets, pa.array(vectors.terms[here])),
                pa.ListArray.from_arrays(offsets, pa.array(vectors.weights[here])),
            ]
            writer.write_table(pa.table(columns, schema=schema))


def dense(vectors: Vectors) -> np.ndarray:
    """[vectors, 512] float32 of unit length: a fixed random projection, which roughly keeps angles."""
    projection = np.random.default_rng(3).standard_normal((VOCABULARY_TERMS, DENSE_WIDTH)).astype(np.float32)
    made = np.empty((len(vectors), DENSE_WIDTH), np.float32)
    matrix = vectors.matrix()
    for first in range(0, len(vectors), 50_000):
        part = matrix[first : first + 50_000] @ projection
        made[first : first + 50_000] = part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12)
    return made
