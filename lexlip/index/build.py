"""From LexiconVector Parquet files to one shard; from shards to a published index."""

from collections.abc import Sequence
from pathlib import Path

from lexlip.index.manifest import Manifest, ShardEntry
from lexlip.index.settings import BuildSettings


def build_shard(
    vector_files: Sequence[str | Path],
    folder: str | Path,
    shard: int,
    settings: BuildSettings,
    *,
    vocabulary_terms: int,
    progress: bool = False,
) -> ShardEntry:
    """Writes the files of one shard into the index folder; they belong to no index until `publish` names them.

    Reads LexiconVector Parquet files (id, terms, weights) row group by row group; further columns become stored fields (an optional
    binary column `thumbnail` too). Files are named after their content and appear by rename, so the same input can be built
    again safely, and `ShardEntry.to_json` can be kept aside to resume a job.

    Args:
        vector_files: Parquet files, read in this order; the position of a document in the shard is its row.
        folder: the index folder; made when missing.
        shard: number of the shard; shards are searched in the order given to `publish`.
        settings: pruning, quantisation and layout.
        vocabulary_terms: size of the vocabulary; a term id outside is an error.
        progress: print the steps, and the recall that quantisation costs.

    Raises:
        DataError: a file is missing or empty of columns; a row has unsorted, repeated or unknown terms, or weights that are not
            positive and finite; an id occurs twice. The message names file and row.
    """


def publish(
    folder: str | Path,
    entries: Sequence[ShardEntry],
    *,
    vocabulary_fingerprint: str,
    model_fingerprint: str,
    settings: BuildSettings,
    vocabulary_terms: int,
) -> Manifest:
    """Makes the shards an index: checks their files, then writes `index.json` by rename. Replaces a published index atomically.

    Raises:
        IndexFormatError: a file of an entry is missing or has another size than the entry says.
        DataError: the same id occurs in two shards; the message names it.
    """
