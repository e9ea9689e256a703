"""Copying a published index between a folder and a URL: its files first, `index.json` last."""

from lexlip.errors import IndexFormatError
from lexlip.index.manifest import MANIFEST_NAME, Manifest, read_manifest, write_manifest
from lexlip.index.remote_files import fetch, put
from lexlip.index.verify import verify_index
from lexlip.storage import Location, locate


def copy_index(source: str | Location, target: str | Location) -> Manifest:
    """Publishes the state of one index as the state of another, which may be empty; files that are there stay.

    Args:
        source: a folder or URL with an index.
        target: a folder or URL.

    Raises:
        IndexFormatError: no index at the source, or it is damaged; or the target was changed since the source was
            copied from it, and would lose that change.
        StorageError: a URL cannot be reached.
    """
    origin, destination = locate(source), locate(target)
    manifest = read_manifest(origin)
    if (destination / MANIFEST_NAME).is_file():
        published = read_manifest(destination)
        if published != manifest and published.generation >= manifest.generation:
            raise IndexFormatError(
                f"{target}: has generation {published.generation}, {source} only {manifest.generation}. Copy that one "
                f"to a new folder first and change it there, or give another target."
            )
    folder = fetch(origin, manifest.shards)
    problems = verify_index(folder) if folder == origin else []  # what was fetched was checked
    if problems:
        raise IndexFormatError(problems[0])
    put(folder, destination, manifest.shards)
    write_manifest(destination, manifest)
    return manifest
