"""Pairs in one annotations file beside image files: COCO captions, and Karpathy's splits of Flickr8k, 30k and COCO.

{"images": [{"id": 9, "file_name": "9.jpg"}], "annotations": [{"image_id": 9, "caption": "a dog"}]}
{"dataset": "flickr8k", "images": [{"filename": "9.jpg", "split": "train", "sentences": [{"raw": "a dog"}]}]}

The first form is COCO's, the second Karpathy's, which also says in which split an image is.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import fsspec
import pyarrow as pa

from lexlip.data.image_files import image_bytes, name_inside
from lexlip.data.locations import Location
from lexlip.errors import DataError
from lexlip.storage import open_filesystem
from lexlip.tables import PAIR_SCHEMA

ANNOTATION_SCHEMA = PAIR_SCHEMA.append(pa.field("split", pa.string()))
FILES_KEPT = 2  # parsed annotations a process keeps: the units of a file are read one by one, and share it


@dataclass(frozen=True)
class AnnotationUnit:
    """Some images of one annotations file.

    Attributes:
        file: the annotations, with their protocol unless local.
        images: the folder that names of image files are relative to, as a URL.
        splits: those that are read; empty reads all.
        first_row: the first image among those of the splits.
        rows: how many.
    """

    file: str
    images: str
    splits: tuple[str, ...]
    first_row: int
    rows: int


@dataclass(frozen=True)
class _Annotated:
    image_id: str
    file_name: str
    captions: tuple[str, ...]
    split: str | None


def annotation_units(
    filesystem: fsspec.AbstractFileSystem, path: str, location: Location, captions_required: bool, unit_rows: int
) -> Iterator[AnnotationUnit]:
    """The units of one file. All entries are checked, no image is read.

    Raises:
        DataError: no annotations of a known form, an entry that lacks a field or names a file outside of the folder, a
            split that no image is in, or no captions where they are required.
    """
    name = filesystem.unstrip_protocol(path)
    location.allow_options(("images", "split"), name)
    annotated = _annotations(name, location.split, _state(filesystem, path))
    if captions_required and annotated and not any(image.captions for image in annotated):
        raise DataError(f"{name}: not one caption in it")
    images = location.images_folder(filesystem, path, _usual_folders(path))
    for first_row in range(0, len(annotated), unit_rows):
        yield AnnotationUnit(name, images, location.split, first_row, min(unit_rows, len(annotated) - first_row))


def read_annotations(unit: AnnotationUnit, batch_rows: int) -> Iterator[pa.Table]:
    """Tables of at most `batch_rows` rows; a file that is not there becomes a row whose image is null."""
    filesystem, path = open_filesystem(unit.file)
    annotated = _annotations(unit.file, unit.splits, _state(filesystem, path))
    chosen = annotated[unit.first_row : unit.first_row + unit.rows]
    if len(chosen) < unit.rows:
        raise DataError(f"{unit.file}: fewer images than before; the file has changed since it was opened")
    image_filesystem, folder = open_filesystem(unit.images)
    for start in range(0, unit.rows, batch_rows):
        rows = [
            {
                "image_id": image.image_id,
                "image": image_bytes(image_filesystem, f"{folder}/{image.file_name}"),
                "captions": list(image.captions),
                "split": image.split,
            }
            for image in chosen[start : start + batch_rows]
        ]
        yield pa.Table.from_pylist(rows, schema=ANNOTATION_SCHEMA)


def _usual_folders(path: str) -> tuple[str, ...]:
    """Where data sets keep their images: `annotations/captions_val2017.json` has them in `val2017`, beside or above."""
    stem = PurePosixPath(path).stem
    own = stem.removeprefix("captions_")
    return (own, f"../{own}", "images") if own != stem else ("images",)


def _state(filesystem: fsspec.AbstractFileSystem, path: str) -> str:
    try:
        details = filesystem.info(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({error})") from error
    return " ".join(str(details.get(name)) for name in ("size", "mtime", "LastModified", "ETag"))


@lru_cache(maxsize=FILES_KEPT)
def _annotations(file: str, splits: tuple[str, ...], state: str) -> tuple[_Annotated, ...]:
    """The images of a file in its order; `state` only tells versions of the file apart."""
    try:
        with fsspec.open(file, "rb") as opened:
            content = json.load(opened)
    except ValueError as error:
        raise DataError(f"{file}: no JSON ({error})") from error
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not all(isinstance(image, dict) for image in images):
        raise DataError(f"{file}: no annotations of images ('images', with 'annotations' or 'sentences')")
    if isinstance(content.get("annotations"), list):
        if splits:
            raise DataError(f"{file}: COCO captions have no splits; there is one file for each")
        return _coco(images, content["annotations"], file)
    return _karpathy(images, splits, file)


def _coco(images: list[dict], annotations: list[Any], file: str) -> tuple[_Annotated, ...]:
    captions: dict[Any, list[str]] = {}
    for number, entry in enumerate(annotations):
        if not isinstance(entry, dict) or "image_id" not in entry or not isinstance(entry.get("caption"), str):
            raise DataError(f"{file}, annotation {number}: no image_id or no caption; these are not COCO captions")
        captions.setdefault(entry["image_id"], []).append(entry["caption"].strip())
    return tuple(
        _Annotated(
            str(image.get("id")),
            name_inside(image.get("file_name"), f"{file}, image {number}"),
            tuple(captions.get(image.get("id"), ())),
            None,
        )
        for number, image in enumerate(images)
    )


def _karpathy(images: list[dict], splits: tuple[str, ...], file: str) -> tuple[_Annotated, ...]:
    annotated = []
    for number, image in enumerate(images):
        where = f"{file}, image {number}"
        sentences = image.get("sentences")
        if not isinstance(sentences, list) or not all(
            isinstance(sentence, dict) and isinstance(sentence.get("raw"), str) for sentence in sentences
        ):
            raise DataError(f"{where}: no sentences with a 'raw' text")
        name = name_inside(image.get("filename"), where, "filename")
        if image.get("filepath"):
            name = f"{name_inside(image['filepath'], where, 'filepath')}/{name}"
        captions = tuple(sentence["raw"].strip() for sentence in sentences)
        annotated.append(_Annotated(str(image["filename"]), name, captions, image.get("split")))
    known = {image.split for image in annotated}
    for split in splits:
        if split not in known:
            there = ", ".join(sorted(str(name) for name in known))
            raise DataError(f"{file}: no image is in split {split!r}; there are: {there}")
    return tuple(image for image in annotated if not splits or image.split in splits)
