"""`index.json`: the one file that makes others part of an index."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FileEntry:
    """One immutable file of the index: name in the folder, size in bytes, crc32 of the whole as 8 hex digits."""

    name: str
    bytes: int
    checksum: str


@dataclass(frozen=True)
class ShardEntry:
    """One immutable shard and the documents deleted from it since.

    Attributes:
        shard: its number, unique in the index.
        documents: positions in the shard, deleted documents included.
        deleted: how many of them are deleted.
        postings, stored: the posting lists and the stored fields.
        exact_weights: finer weights for reranking, or None.
        tombstones: bitmap of deleted documents, or None.
    """

    shard: int
    documents: int
    deleted: int
    postings: FileEntry
    stored: FileEntry
    exact_weights: FileEntry | None
    tombstones: FileEntry | None

    def to_json(self) -> dict: ...

    @classmethod
    def from_json(cls, record: dict) -> "ShardEntry": ...


@dataclass(frozen=True)
class Manifest:
    """One published state of an index. A new state gets the next generation."""

    format_version: int
    generation: int
    documents: int  # live documents
    vocabulary_fingerprint: str
    vocabulary_terms: int
    model_fingerprint: str
    settings: dict
    shards: tuple[ShardEntry, ...]
