"""Captions that become distractors: text at scale, without those that describe a picture of the corpus.

Files of captions have the columns `caption` (one string a row) or `captions` (a list) and, where known, `image_id`. A
photo of the corpus may be in them under its own name or another: every image of theirs with the id, or with one
caption, of the corpus is left out with all its captions. What remains twice is kept once.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.errors import DataError
from lexlip.tables import PAIR_SCHEMA

WORD = re.compile(r"\w+")
ROW_GROUP_ROWS = 4096


def write_extra_captions(
    location: str, file: Path, *, taken_ids: Iterable[str], taken_captions: Iterable[str], most: int
) -> int:
    """Writes pairs without pictures, so that captions can be encoded like those of any corpus.

    Args:
        location: Parquet file or glob.
        file: the pairs; appears by rename.
        taken_ids, taken_captions: of the corpus.
        most: captions that are needed; whole images are written until there are as many.

    Returns:
        How many captions were written.

    Raises:
        DataError: no such file, no captions in it, or none left.
    """
    images = _captions_by_image(location)
    ids, taken = set(taken_ids), {words_of(caption) for caption in taken_captions}
    seen: set[tuple[str, ...]] = set()
    rows: dict[str, list] = {"image_id": [], "image": [], "captions": []}
    written = 0
    for image_id, captions in images.items():
        keys = [words_of(caption) for caption in captions]
        if image_id in ids or any(key in taken for key in keys):
            continue
        fresh = {key: caption for key, caption in zip(keys, captions, strict=True) if key and key not in seen}
        if not fresh or written >= most:
            continue
        seen.update(fresh)
        rows["image_id"].append(image_id)
        rows["image"].append(None)
        rows["captions"].append(list(fresh.values()))
        written += len(fresh)
    if not written:
        raise DataError(f"{location}: every caption in it describes a picture of the corpus; give other captions")
    temporary = file.with_name(file.name + ".tmp")
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(rows, schema=PAIR_SCHEMA), temporary, row_group_size=ROW_GROUP_ROWS)
    temporary.replace(file)
    return written


def words_of(caption: str) -> tuple[str, ...]:
    """The words of a caption, by which equal captions are told: case and punctuation do not count."""
    return tuple(WORD.findall(caption.lower()))


def _captions_by_image(location: str) -> dict[str, list[str]]:
    filesystem, path = fsspec.core.url_to_fs(location)
    files = sorted(filesystem.glob(path))
    if not files:
        raise DataError(f"{location}: no such file of captions")
    images: dict[str, list[str]] = defaultdict(list)
    for name in files:
        with filesystem.open(name, "rb") as opened:
            parquet = pq.ParquetFile(opened)
            names = parquet.schema_arrow.names
            column = next((column for column in ("captions", "caption") if column in names), None)
            if column is None:
                raise DataError(f"{name}: no column captions or caption; found {', '.join(names)}")
            wanted = [column, *(["image_id"] if "image_id" in names else [])]
            for row, values in enumerate(parquet.read(columns=wanted).to_pylist()):
                found = values[column]
                captions = [found] if isinstance(found, str) else [text for text in found or [] if text]
                # Without ids every row is an image of its own.
                images[values.get("image_id") or f"{Path(name).name}#{row}"] += captions
    return images
