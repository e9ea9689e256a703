"""The files of an index behind a URL: each is fetched once into a folder of this machine and mapped from there.

Files never change and are named after their content, so a copy stays good for every later generation. A copy gets its
name only when its checksums fit; processes that want the same shard wait for the one that fetches it.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from lexlip.errors import IndexFormatError
from lexlip.index.manifest import FileEntry, ShardEntry, publish_file
from lexlip.index.sections import Sections
from lexlip.index.stored import StoredFields
from lexlip.storage import Location, RemotePath, place, size_of

CACHE_VARIABLE = "LEXLIP_CACHE"
SHARDS_AT_ONCE = 4  # a connection each; more would only share the network
_KEY_DIGITS = 16


def local_folder(where: Location) -> Path:
    """The folder that the files of an index lie in on this machine; made for a URL, whose name and hash it has."""
    if isinstance(where, Path):
        return where
    root = os.environ.get(CACHE_VARIABLE) or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lexlip"
    key = sha256(where.url.encode()).hexdigest()[:_KEY_DIGITS]
    folder = Path(root).expanduser() / "indexes" / f"{where.name}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch(where: Location, entries: Sequence[ShardEntry]) -> Path:
    """Sees to it that the files of these shards lie on this machine.

    Returns:
        their folder: the index folder itself unless it is behind a URL.

    Raises:
        StorageError: a file cannot be fetched.
        IndexFormatError: what was fetched is not the file that the manifest names.
    """
    folder = local_folder(where)
    if isinstance(where, RemotePath):
        with ThreadPoolExecutor(SHARDS_AT_ONCE) as pool:
            list(pool.map(lambda entry: _fetch_shard(where, folder, entry), entries))
    return folder


def put(folder: Path, where: Location, entries: Sequence[ShardEntry]) -> None:
    """Copies the files of these shards from a folder of this machine to an index, but for those that are there."""
    if where != folder:
        for file in (file for entry in entries for file in entry.files):
            if not _is_there(where, file):
                place(folder / file.name, where / file.name)


def _fetch_shard(where: RemotePath, folder: Path, entry: ShardEntry) -> None:
    if all(_is_there(folder, file) for file in entry.files):
        return
    with _taking_turns(folder, entry.shard):
        # The identifiers come first: they hold the checksums of the stored fields.
        for file in [entry.identifiers, *entry.files]:
            if not _is_there(folder, file):
                _fetch_file(where, folder, entry, file)


def _fetch_file(where: RemotePath, folder: Path, entry: ShardEntry, file: FileEntry) -> None:
    temporary = folder / f"{file.name}.tmp-{os.getpid()}"
    try:
        (where / file.name).download(temporary)
        _check(folder, entry, replace(file, name=temporary.name), Path(file.name).suffix[1:])
        publish_file(temporary, folder / file.name)
    except IndexFormatError as error:
        raise IndexFormatError(
            f"{where / file.name}: not the file that {where} names ({error}) Publish the index there again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _check(folder: Path, entry: ShardEntry, file: FileEntry, kind: str) -> None:
    """Checks every byte of a fetched file.

    Raises:
        IndexFormatError: saying what does not fit.
    """
    if kind == "stored":
        StoredFields(folder, file, Sections(folder, entry.identifiers, "ids")).verify()
    else:
        Sections(folder, file, kind).verify()


def _is_there(folder: Location, file: FileEntry) -> bool:
    """A copy of another size was cut since, and is copied again; other damage is found when the bytes are used."""
    return size_of(folder / file.name) == file.bytes


@contextmanager
def _taking_turns(folder: Path, shard: int) -> Iterator[None]:
    """Waits until no other process or thread fetches the shard; a kill frees the lock."""
    with (folder / f"fetching-{shard}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
