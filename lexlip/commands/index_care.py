"""`lexlip index`: building an index from vectors, and looking after it."""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from lexlip.commands.location_argument import LocationArgument
from lexlip.index import BuildSettings, CaptionIndexing, build_shard, copy_index, measure_captions, publish
from lexlip.index.grow import delete_documents, merge_shards, remove_unreferenced, unreferenced_files
from lexlip.index.manifest import read_manifest
from lexlip.index.verify import verify_index
from lexlip.vocabulary import Vocabulary

NO_MODEL = "imported"  # the model fingerprint of an index of vectors that no model of ours made


@dataclass(frozen=True)
class Build:
    """Build an index of one shard from vector files, such as `lexlip import` writes.

    Attributes:
        vectors: LexiconVector Parquet files.
        index: the index folder; an index there is replaced in one step.
        vocabulary: a model folder, or any folder with the vocab.txt of the vectors.
        model_fingerprint: what made the vectors, as the index remembers it.
        captions: index the words of the column `captions` too, for `lexlip search --captions`.
        settings: pruning, quantisation and layout.
    """

    vectors: tyro.conf.Positional[tuple[Path, ...]]
    index: Path
    vocabulary: Path
    model_fingerprint: str = NO_MODEL
    captions: bool = False
    settings: Annotated[BuildSettings, tyro.conf.arg(name="")] = field(default_factory=BuildSettings)

    def run(self) -> int:
        """Builds and publishes."""
        vocabulary = Vocabulary.load(self.vocabulary)
        captions = None
        if self.captions:
            field = measure_captions(self.vectors, vocabulary).field(vocabulary, self.settings.maximum_weight)
            captions = CaptionIndexing(field, vocabulary)
        entry = build_shard(
            self.vectors,
            self.index,
            0,
            self.settings,
            vocabulary_terms=len(vocabulary),
            captions=captions,
            progress=True,
        )
        manifest = publish(
            self.index,
            [entry],
            vocabulary_fingerprint=vocabulary.fingerprint,
            model_fingerprint=self.model_fingerprint,
            settings=self.settings,
            vocabulary_terms=len(vocabulary),
            captions=captions.field if captions is not None else None,
        )
        print(f"{self.index}: generation {manifest.generation} with {manifest.documents} documents")
        return 0


@dataclass(frozen=True)
class Verify:
    """Check every byte of an index against its checksums; behind a URL, those of the copies on this machine.

    Attributes:
        path: folder or URL of the index.
    """

    path: tyro.conf.Positional[LocationArgument]

    def run(self) -> int:
        """Prints what is damaged; 1 when something is."""
        problems = verify_index(self.path)
        manifest = read_manifest(self.path)
        if not problems:
            print(f"{self.path}: generation {manifest.generation} with {manifest.documents} documents is sound")
        for problem in problems:
            print(problem, file=sys.stderr)
        return 1 if problems else 0


@dataclass(frozen=True)
class Info:
    """Show what an index holds.

    Attributes:
        path: folder or URL of the index.
    """

    path: tyro.conf.Positional[LocationArgument]

    def run(self) -> int:
        """Prints the published state."""
        manifest = read_manifest(self.path)
        print(f"generation {manifest.generation}, {manifest.documents} documents in {len(manifest.shards)} shard(s)")
        print(
            f"vocabulary {manifest.vocabulary_fingerprint} ({manifest.vocabulary_terms} terms), model "
            f"{manifest.model_fingerprint}"
        )
        if manifest.captions is not None:
            print("captions " + ", ".join(f"{name} {value}" for name, value in asdict(manifest.captions).items()))
        print("settings " + ", ".join(f"{name} {value}" for name, value in manifest.settings.items()))
        for entry in manifest.shards:
            size = entry.postings.bytes / max(1, entry.documents)
            print(
                f"shard {entry.shard}: {entry.documents} documents, {entry.deleted} deleted, {size:.1f} bytes of "
                f"postings a "
                f"document, {entry.stored.bytes / 1e6:.1f} MB of stored fields"
            )
        left_over = unreferenced_files(self.path) if isinstance(self.path, Path) else []
        if left_over:
            size = sum(file.stat().st_size for file in left_over) / 1e6
            print(
                f"{len(left_over)} file(s) of {size:.1f} MB belong to no published state (`lexlip index clean` "
                f"removes them)"
            )
        return 0


@dataclass(frozen=True)
class Copy:
    """Copy a published index between a folder and a URL (s3://, gs://, hdfs://, ...), its manifest last.

    Attributes:
        source: folder or URL of the index.
        target: folder or URL; a state that is newer there is not replaced.
    """

    source: tyro.conf.Positional[LocationArgument]
    target: tyro.conf.Positional[LocationArgument]

    def run(self) -> int:
        """Copies what is not there yet."""
        manifest = copy_index(self.source, self.target)
        print(f"{self.target}: generation {manifest.generation} with {manifest.documents} documents")
        return 0


@dataclass(frozen=True)
class Delete:
    """Delete documents by id.

    Attributes:
        path: the index folder.
        ids: ids of documents.
    """

    path: tyro.conf.Positional[Path]
    ids: tyro.conf.Positional[tuple[str, ...]]

    def run(self) -> int:
        """Publishes the state without them."""
        manifest, count = delete_documents(self.path, self.ids)
        print(f"{count} document(s) deleted; generation {manifest.generation} with {manifest.documents} documents")
        return 0


@dataclass(frozen=True)
class Merge:
    """Make one shard of all shards, and let deleted documents go.

    Attributes:
        path: the index folder.
    """

    path: tyro.conf.Positional[Path]

    def run(self) -> int:
        """Publishes the merged state."""
        manifest = merge_shards(self.path, progress=True)
        print(f"generation {manifest.generation} with {manifest.documents} documents")
        return 0


@dataclass(frozen=True)
class Clean:
    """Remove files that belong to no published state; not while a shard is being built there.

    Attributes:
        path: the index folder.
    """

    path: tyro.conf.Positional[Path]

    def run(self) -> int:
        """Deletes the files."""
        print(f"{remove_unreferenced(self.path) / 1e6:.1f} MB freed")
        return 0


IndexCommand = (
    Annotated[Build, tyro.conf.subcommand("build")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Copy, tyro.conf.subcommand("copy")]
    | Annotated[Delete, tyro.conf.subcommand("delete")]
    | Annotated[Merge, tyro.conf.subcommand("merge")]
    | Annotated[Clean, tyro.conf.subcommand("clean")]
)


@dataclass(frozen=True)
class IndexCommands:
    """Build an index and look after it.

    Attributes:
        command: what to do.
    """

    command: tyro.conf.OmitSubcommandPrefixes[IndexCommand]

    def run(self) -> int:
        """Does it."""
        return self.command.run()
