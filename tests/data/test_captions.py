"""Reading all captions of a data set, without its pictures."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.data.captions import read_captions
from lexlip.data.sources import open_pairs

CAPTIONS = [["a cat", "one cat"], [], ["a dog", " ", None], None, ["two birds"]]
FLAT = ["a cat", "one cat", "a dog", "two birds"]


def test_every_caption_with_text_comes_once_in_the_order_of_rows(tmp_path: Path) -> None:
    captions = pa.array(CAPTIONS, pa.list_(pa.string()))
    table = pa.table({"image_id": list("abcde"), "image": [b""] * 5, "captions": captions})
    # Two row groups, each cut into several units: a row group is read with its first unit and not again.
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    pq.write_table(table.slice(0, 1), tmp_path / "b.parquet")
    source = open_pairs(str(tmp_path), unit_rows=1)
    assert len(source.units) == 6
    assert list(read_captions(source)) == [*FLAT, "a cat", "one cat"]


def test_one_caption_a_row_may_be_a_plain_string(tmp_path: Path) -> None:
    table = pa.table({"image_id": ["a", "b"], "image": [b"", b""], "captions": ["a cat", ""]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert list(read_captions(open_pairs(str(tmp_path)))) == ["a cat"]


def test_image_folders_are_read_from_their_metadata(tmp_path: Path) -> None:
    lines = [{"file_name": f"{number}.jpg", "captions": texts} for number, texts in enumerate([["a cat"], ["a dog"]])]
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    assert list(read_captions(open_pairs(str(tmp_path)))) == ["a cat", "a dog"]
