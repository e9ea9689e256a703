"""`index.json`: the one file that makes others part of an index. Written last and by rename, it is the whole of a
published state.
"""

import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lexlip.errors import IndexFormatError
from lexlip.index.caption_field import CaptionField, posting_terms_of
from lexlip.index.checksum import checksum_text
from lexlip.storage import Location, RemotePath, locate

MANIFEST_NAME = "index.json"
FORMAT_NAME = "lexlip-index"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FileEntry:
    """One immutable file of the index: name in the folder, size in bytes, XXH64 of the whole as 16 hex digits."""

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
        postings: the posting lists and the id map.
        stored: the stored fields, an Arrow IPC file.
        identifiers: where to find an id, and where a row of the stored fields begins.
        exact_weights: finer weights for reranking, or None.
        tombstones: which documents are deleted, or None.
        captions: how many documents have each term in their captions, or None without a caption field.
    """

    shard: int
    documents: int
    deleted: int
    postings: FileEntry
    stored: FileEntry
    identifiers: FileEntry
    exact_weights: FileEntry | None = None
    tombstones: FileEntry | None = None
    captions: FileEntry | None = None

    @property
    def files(self) -> list[FileEntry]:
        """All files of the shard."""
        optional = [self.exact_weights, self.tombstones, self.captions]
        return [self.postings, self.stored, self.identifiers, *[entry for entry in optional if entry is not None]]

    def to_json(self) -> dict[str, Any]:
        """A dictionary for `json.dumps`; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "ShardEntry":
        """Reads what `to_json` wrote."""
        optional = {
            name: None if record.get(name) is None else FileEntry(**record[name])
            for name in ("exact_weights", "tombstones", "captions")
        }
        always = {name: FileEntry(**record[name]) for name in ("postings", "stored", "identifiers")}
        return cls(
            shard=record["shard"],
            documents=record["documents"],
            deleted=record["deleted"],
            **always,
            exact_weights=optional["exact_weights"],
            tombstones=optional["tombstones"],
            captions=optional["captions"],
        )


@dataclass(frozen=True)
class Manifest:
    """One published state of an index. Every change makes the next generation.

    Attributes:
        generation: 1 for the first state published in a folder.
        vocabulary_fingerprint, model_fingerprint: what the vectors were made with.
        vocabulary_terms: size of the vocabulary; term ids of lexicon vectors are below it.
        settings: the `BuildSettings` the index was published with, as a dictionary.
        shards: in the order in which positions count through them.
        captions: how captions became postings of their own, or None when they did not.
    """

    generation: int
    vocabulary_fingerprint: str
    model_fingerprint: str
    vocabulary_terms: int
    settings: dict[str, Any]
    shards: tuple[ShardEntry, ...]
    captions: CaptionField | None = None

    @cached_property
    def state(self) -> str:
        """Tells this state from every other, also from those of an index built later in the same place."""
        return f"{self.generation}-{checksum_text(_serialised(self.to_json()))}"

    @property
    def documents(self) -> int:
        """Documents that can be found: deleted ones are not counted."""
        return sum(entry.documents - entry.deleted for entry in self.shards)

    @property
    def posting_terms(self) -> int:
        """Ids that posting lists may have: the lexicon's and, with a caption field, those of captions' words."""
        return posting_terms_of(self.vocabulary_terms, self.captions)

    @property
    def quantisation(self) -> dict[str, Any]:
        """How weights became impacts: {"impact_bits", "maximum_weight"}."""
        return {name: self.settings[name] for name in ("impact_bits", "maximum_weight")}

    def to_json(self) -> dict[str, Any]:
        """The content of `index.json` but for its checksum."""
        record = {"format": FORMAT_NAME, "format_version": FORMAT_VERSION, "documents": self.documents, **asdict(self)}
        record["shards"] = [entry.to_json() for entry in self.shards]
        return record


def _serialised(record: dict[str, Any]) -> bytes:
    return json.dumps(record, indent=1).encode() + b"\n"


def write_manifest(folder: Location, manifest: Manifest) -> None:
    """Publishes a state: a reader sees the old `index.json` or the new one, never a mixture."""
    record = manifest.to_json()
    record["checksum"] = checksum_text(_serialised(record))
    if isinstance(folder, RemotePath):
        (folder / MANIFEST_NAME).write_bytes(_serialised(record))
    else:
        write_atomically(folder / MANIFEST_NAME, _serialised(record))


def read_manifest(folder: str | Location) -> Manifest:
    """Reads the published state of an index folder, which may be behind a URL.

    Raises:
        IndexFormatError: no `index.json`, or it is foreign, damaged or of another format version.
        StorageError: the URL cannot be reached.
    """
    path = locate(folder) / MANIFEST_NAME
    if not path.is_file():
        raise IndexFormatError(
            f"{folder}: no {MANIFEST_NAME} there, so it is no index, or its building was not finished. Build one with "
            f"`python pipelines/encode.py`."
        )
    content = path.read_bytes()
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise IndexFormatError(f"{path}: not readable as JSON ({error}). Publish the index again.") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT_NAME:
        raise IndexFormatError(f"{path}: this is not the manifest of a LexLIP index.")
    if record.get("format_version") != FORMAT_VERSION:
        raise IndexFormatError(
            f"{path}: format version {record.get('format_version')}, but this program reads version {FORMAT_VERSION}. "
            f"Build the index again with this version."
        )
    unchanged = content == _serialised(record)
    written = record.pop("checksum", None)
    if not unchanged or written != checksum_text(_serialised(record)):
        raise IndexFormatError(
            f"{path}: the content does not fit its checksum, so the file was damaged or edited. Publish the index "
            f"again."
        )
    return Manifest(
        generation=record["generation"],
        vocabulary_fingerprint=record["vocabulary_fingerprint"],
        model_fingerprint=record["model_fingerprint"],
        vocabulary_terms=record["vocabulary_terms"],
        settings=record["settings"],
        shards=tuple(ShardEntry.from_json(entry) for entry in record["shards"]),
        captions=None if record.get("captions") is None else CaptionField(**record["captions"]),
    )


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, makes it durable, and renames it; a kill leaves the old file or the new
    one.
    """
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    publish_file(temporary, path)


def publish_file(temporary: Path, path: Path) -> None:
    """Renames a complete file into place and makes the rename durable."""
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
