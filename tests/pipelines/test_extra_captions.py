"""Further captions become distractors only when no picture of the corpus is described by them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexlip.errors import DataError
from pipelines.extra_captions import write_extra_captions


def write(file: Path, rows: list[dict]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), file)
    return str(file)


def test_a_picture_of_the_corpus_is_left_out_under_any_name(tmp_path: Path) -> None:
    location = write(
        tmp_path / "a.parquet",
        [
            {"image_id": "same-id", "caption": "nobody wrote this"},
            {"image_id": "renamed", "caption": "A dog, running !"},
            {"image_id": "renamed", "caption": "another sentence about the dog"},
            {"image_id": "fresh", "caption": "a boat"},
            {"image_id": "fresh", "caption": "A BOAT."},
            {"image_id": "later", "caption": "a boat"},
            {"image_id": "later", "caption": "a sail"},
        ],
    )
    out = tmp_path / "made" / "captions.parquet"
    written = write_extra_captions(location, out, taken_ids=["same-id"], taken_captions=["a dog running"], most=100)
    rows = pq.read_table(out).to_pylist()
    assert written == 2
    assert [(row["image_id"], row["captions"]) for row in rows] == [("fresh", ["A BOAT."]), ("later", ["a sail"])]


def test_no_more_pictures_than_needed_and_lists_of_captions(tmp_path: Path) -> None:
    rows = [{"image_id": str(n), "captions": [f"caption {n} one", f"caption {n} two"]} for n in range(5)]
    location = write(tmp_path / "b.parquet", rows)
    written = write_extra_captions(location, tmp_path / "c.parquet", taken_ids=[], taken_captions=[], most=3)
    assert written == 4


def test_unusable_files_are_named(tmp_path: Path) -> None:
    location = write(tmp_path / "d.parquet", [{"text": "x"}])
    with pytest.raises(DataError, match=r"d\.parquet: no column captions or caption; found text"):
        write_extra_captions(location, tmp_path / "e.parquet", taken_ids=[], taken_captions=[], most=1)
    location = write(tmp_path / "f.parquet", [{"caption": "a dog"}])
    with pytest.raises(DataError, match="every caption in it describes a picture of the corpus"):
        write_extra_captions(location, tmp_path / "e.parquet", taken_ids=[], taken_captions=["a dog"], most=1)
