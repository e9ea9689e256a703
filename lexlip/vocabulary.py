"""Terms and their ids: a WordPiece vocabulary with BERT's text normalisation (uses `tokenizers`, never torch)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class TokenBatch:
    """Tokenised texts of one length.

    Attributes:
        token_ids: [N, length] int32, [CLS] pieces [SEP] [PAD]...
        word_index: [N, length] int16, which word of its text a piece belongs to; -1 on special tokens and padding.
    """

    token_ids: np.ndarray
    word_index: np.ndarray


@dataclass(frozen=True)
class Vocabulary:
    """Immutable, picklable; equal when the fingerprints are equal."""

    terms: tuple[str, ...]
    lowercase: bool = True
    # Set in __post_init__: fingerprint: str; pad_id, unknown_id, cls_id, sep_id, mask_id: int; special_ids: frozenset[int]

    @classmethod
    def load(cls, folder: str | Path) -> "Vocabulary": ...
    @classmethod
    def train(cls, captions: Iterable[str], size: int, *, lowercase: bool = True, least_count: int = 2) -> "Vocabulary": ...
    def restrict(self, captions: Iterable[str]) -> "Vocabulary": ...
    def save(self, folder: str | Path) -> None: ...
    def __len__(self) -> int: ...
    def id_of(self, term: str) -> int | None: ...
    def term_of(self, identifier: int) -> str: ...
    def encode(self, texts: Sequence[str], length: int) -> TokenBatch: ...
    def words_of(self, text: str) -> list[tuple[str, tuple[int, ...]]]: ...
    def require_same(self, other_fingerprint: str, what: str) -> None: ...
