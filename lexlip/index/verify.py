"""Checking every byte of an index against its checksums."""

from collections.abc import Callable, Iterator
from pathlib import Path

from lexlip.errors import IndexFormatError
from lexlip.index.caption_statistics import CAPTIONS_KIND
from lexlip.index.manifest import ShardEntry, read_manifest
from lexlip.index.remote_files import fetch
from lexlip.index.sections import Sections
from lexlip.index.stored import StoredFields
from lexlip.storage import Location, locate


def verify_index(path: str | Location) -> list[str]:
    """What is wrong with an index, one line a damaged file; nothing when all of it is sound.

    Of an index behind a URL the copies on this machine are checked; what is missing is fetched.

    Raises:
        IndexFormatError: there is no index, or its manifest is damaged.
    """
    where = locate(path)
    problems = []
    for entry in read_manifest(where).shards:
        for check in _checks(fetch(where, [entry]), entry):
            if check is not None:
                problems.append(check)
    return problems


def _checks(folder: Path, entry: ShardEntry) -> Iterator[str | None]:
    yield _problem(lambda: Sections(folder, entry.postings, "postings").verify())
    yield _problem(lambda: Sections(folder, entry.identifiers, "ids").verify())
    yield _problem(lambda: StoredFields(folder, entry.stored, Sections(folder, entry.identifiers, "ids")).verify())
    if entry.exact_weights is not None:
        weights = entry.exact_weights
        yield _problem(lambda: Sections(folder, weights, "weights").verify())
    if entry.tombstones is not None:
        tombstones = entry.tombstones
        yield _problem(lambda: Sections(folder, tombstones, "deleted").verify())
    if entry.captions is not None:
        captions = entry.captions
        yield _problem(lambda: Sections(folder, captions, CAPTIONS_KIND).verify())


def _problem(check: Callable[[], None]) -> str | None:
    """The message of the error that a check raises."""
    try:
        check()
    except IndexFormatError as error:
        return str(error)
    return None
