"""Pairs are found wherever they are, cut into units that cover each row once, and refused when they cannot be read."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lexlip.data.sources import PairSource, open_pairs, read_unit
from lexlip.errors import DataError
from lexlip.tables import PAIR_SCHEMA


def pairs(first: int, rows: int) -> pa.Table:
    numbers = range(first, first + rows)
    columns = {
        "image_id": [f"image-{number}" for number in numbers],
        "image": [f"bytes {number}".encode() for number in numbers],
        "captions": [[f"caption {number}", f"another {number}"] for number in numbers],
    }
    return pa.table(columns, schema=PAIR_SCHEMA)


def read_all(source: PairSource, batch_rows: int = 64) -> pa.Table:
    tables = [table for unit in source.units for table in read_unit(unit, batch_rows=batch_rows)]
    assert all(0 < table.num_rows <= batch_rows for table in tables)
    return pa.concat_tables(tables)


def write_parquet(table: pa.Table, url: str, **options: Any) -> None:
    with fsspec.open(url, "wb") as file:
        pq.write_table(table, file, **options)


@pytest.fixture
def two_files(tmp_path: Path) -> Path:
    pq.write_table(pairs(0, 70), tmp_path / "part-0.parquet", row_group_size=32)
    pq.write_table(pairs(70, 30), tmp_path / "part-1.parquet")
    return tmp_path


class TestParquet:
    def test_a_file_a_glob_and_a_folder_name_the_same_rows(self, two_files: Path) -> None:
        expected = pairs(0, 100)
        for location in (
            two_files,
            f"{two_files}/part-*.parquet",
            f"file://{two_files}",
            f"file://{two_files}/*.parquet",
        ):
            source = open_pairs(str(location))
            assert source.rows == 100
            assert read_all(source) == expected
        assert read_all(open_pairs(f"{two_files}/part-1.parquet")) == pairs(70, 30)

    def test_a_url_is_read_through_fsspec(self) -> None:
        write_parquet(pairs(0, 20), "memory://corpus/deep/a.parquet")
        write_parquet(pairs(20, 20), "memory://corpus/deep/b.parquet")
        for location in ("memory://corpus", "memory://corpus/*/?.parquet", "memory://corpus/deep"):
            assert read_all(open_pairs(location, unit_rows=7), batch_rows=3) == pairs(0, 40)

    def test_hidden_and_half_written_files_are_left_out(self, two_files: Path) -> None:
        (two_files / ".part-2.parquet").write_bytes(b"half")
        (two_files / "_temporary").mkdir()
        (two_files / "_temporary" / "part-3.parquet").write_bytes(b"half")
        (two_files / "part-4.parquet.tmp-77").write_bytes(b"half")
        assert open_pairs(str(two_files)).rows == 100

    def test_units_are_small_and_travel(self, two_files: Path) -> None:
        source = open_pairs(str(two_files), unit_rows=20)
        assert [unit.rows for unit in source.units] == [20, 12, 20, 12, 6, 20, 10]
        travelled = pickle.loads(pickle.dumps(source))
        assert travelled == source
        assert max(len(pickle.dumps(unit)) for unit in source.units) < 1000
        assert read_all(travelled) == pairs(0, 100)

    @given(st.integers(1, 60), st.integers(1, 25), st.integers(1, 25), st.integers(1, 25))
    @settings(max_examples=40, deadline=None)
    def test_every_row_is_read_once(self, rows: int, group_rows: int, unit_rows: int, batch_rows: int) -> None:
        write_parquet(pairs(0, rows), "memory://cuts/pairs.parquet", row_group_size=group_rows)
        source = open_pairs("memory://cuts/pairs.parquet", unit_rows=unit_rows)
        assert max(unit.rows for unit in source.units) <= unit_rows
        assert read_all(source, batch_rows) == pairs(0, rows)

    def test_other_forms_of_the_columns_are_accepted(self, tmp_path: Path) -> None:
        table = pa.table(
            {
                "licence": ["a", "b", "c"],
                "captions": pa.array(["one", None, "three"], pa.large_string()),
                "image": [{"bytes": b"x", "path": "x.jpg"}, {"bytes": None, "path": "y.jpg"}, None],
                "image_id": [7, 8, 9],
            }
        )
        pq.write_table(table, tmp_path / "pairs.parquet")
        read = read_all(open_pairs(str(tmp_path)))
        assert read.schema.names == ["image_id", "image", "captions", "licence"]
        assert read.select(PAIR_SCHEMA.names).schema == PAIR_SCHEMA
        assert read["image_id"].to_pylist() == ["7", "8", "9"]
        assert read["image"].to_pylist() == [b"x", None, None]
        assert read["captions"].to_pylist() == [["one"], [None], ["three"]]
        assert read["licence"].to_pylist() == ["a", "b", "c"]

    def test_null_and_empty_captions_are_not_fatal(self, tmp_path: Path) -> None:
        table = pairs(0, 3).set_column(2, "captions", pa.array([None, [], [None, ""]], pa.list_(pa.string())))
        pq.write_table(table, tmp_path / "pairs.parquet")
        assert read_all(open_pairs(str(tmp_path)))["captions"].to_pylist() == [None, [], [None, ""]]

    def test_a_corpus_may_be_without_captions(self, tmp_path: Path) -> None:
        pq.write_table(pairs(0, 3).drop_columns("captions"), tmp_path / "pairs.parquet")
        with pytest.raises(DataError, match=r"pairs\.parquet: column\(s\) captions missing"):
            open_pairs(str(tmp_path))
        read = read_all(open_pairs(str(tmp_path), captions_required=False))
        assert read["captions"].to_pylist() == [[], [], []]
        assert read.schema == PAIR_SCHEMA

    @pytest.mark.parametrize(
        ("column", "values", "reason"),
        [("image", ["path.jpg"], "column image must hold bytes"), ("captions", [5], "column captions must hold lists")],
    )
    def test_columns_of_other_types_are_refused(self, tmp_path: Path, column: str, values: list, reason: str) -> None:
        table = pairs(0, 1)
        table = table.set_column(table.schema.get_field_index(column), column, pa.array(values))
        pq.write_table(table, tmp_path / "pairs.parquet")
        with pytest.raises(DataError, match=reason):
            open_pairs(str(tmp_path))

    def test_damaged_and_changed_files_are_refused(self, two_files: Path) -> None:
        source = open_pairs(f"{two_files}/part-1.parquet")
        whole = (two_files / "part-1.parquet").read_bytes()
        pq.write_table(pairs(0, 5), two_files / "part-1.parquet")
        with pytest.raises(DataError, match=r"part-1\.parquet.*changed"):
            list(read_unit(source.units[0]))
        (two_files / "part-1.parquet").write_bytes(whole[:200] + bytes(300) + whole[500:])
        with pytest.raises(DataError, match=r"part-1\.parquet"):
            list(read_unit(source.units[0]))
        (two_files / "part-1.parquet").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=r"part-1\.parquet: not a readable Parquet file"):
            open_pairs(str(two_files))
        (two_files / "part-1.parquet").unlink()
        with pytest.raises(DataError, match=r"part-1\.parquet"):
            list(read_unit(source.units[0]))


def photo(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def write_lines(file: Path, *entries: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries) + "\n")


class TestImageFolder:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "dogs").mkdir()
        (tmp_path / "dogs" / "1.png").write_bytes(photo("red"))
        (tmp_path / "cat.png").write_bytes(photo("blue"))
        write_lines(
            tmp_path / "metadata.jsonl",
            {"file_name": "dogs/1.png", "captions": ["a dog", "a red dog"], "year": 2001},
            "",
            {"file_name": "cat.png", "text": "a cat é", "year": None, "tags": ["x"]},
            {"file_name": "gone.png", "caption": "nothing", "year": 2.5},
        )
        return tmp_path

    def test_lines_become_rows_named_by_their_files(self, folder: Path) -> None:
        for location in (str(folder), f"file://{folder}", f"{folder}/metadata.jsonl", f"{folder}/*.jsonl"):
            for unit_rows in (1, 2, 256):
                read = read_all(open_pairs(location, unit_rows=unit_rows), batch_rows=2)
                assert read["image_id"].to_pylist() == ["dogs/1.png", "cat.png", "gone.png"]
                assert read["image"].to_pylist() == [photo("red"), photo("blue"), None]
                assert read["captions"].to_pylist() == [["a dog", "a red dog"], ["a cat é"], ["nothing"]]
                assert read["year"].to_pylist() == [2001.0, None, 2.5]
                assert read["tags"].to_pylist() == [None, '["x"]', None]

    def test_captions_jsonl_and_urls_work_too(self) -> None:
        filesystem = fsspec.filesystem("memory")
        filesystem.pipe("/photos/a.png", photo("red"))
        filesystem.pipe("/photos/captions.jsonl", b'{"file_name": "a.png", "caption": "red"}')
        assert read_all(open_pairs("memory://photos"))["image"].to_pylist() == [photo("red")]

    @pytest.mark.parametrize(
        "name",
        ["../secret.png", "/etc/passwd", "a/../../b.png", "..\\b.png", "C:/b.png", "s3://other/b.png", "~/b.png"],
    )
    def test_a_name_outside_of_the_folder_is_refused(self, tmp_path: Path, name: str) -> None:
        write_lines(tmp_path / "metadata.jsonl", {"file_name": "a.png", "text": "a"}, {"file_name": name, "text": "b"})
        with pytest.raises(DataError, match=r"metadata\.jsonl, entry 2: file_name .* leads out of the folder"):
            open_pairs(str(tmp_path))

    @pytest.mark.parametrize(
        ("entry", "reason"),
        [
            ("{broken", "no JSON"),
            ("[1]", "no JSON object"),
            ({"text": "a"}, "no file_name"),
            ({"file_name": "a.png"}, "no captions, caption or text"),
            ({"file_name": "a.png", "captions": [1]}, "string or a list of strings"),
        ],
    )
    def test_unusable_lines_are_refused(self, tmp_path: Path, entry: Any, reason: str) -> None:
        write_lines(tmp_path / "metadata.jsonl", entry)
        with pytest.raises(DataError, match=rf"metadata\.jsonl.*{reason}"):
            open_pairs(str(tmp_path))

    def test_a_corpus_may_be_without_captions(self, tmp_path: Path) -> None:
        write_lines(tmp_path / "metadata.jsonl", {"file_name": "a.png"})
        assert read_all(open_pairs(str(tmp_path), captions_required=False))["captions"].to_pylist() == [[]]

    def test_a_shortened_file_is_noticed(self, folder: Path) -> None:
        source = open_pairs(str(folder))
        write_lines(folder / "metadata.jsonl", {"file_name": "cat.png", "text": "a cat"})
        with pytest.raises(DataError, match="changed"):
            list(read_unit(source.units[0]))


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("nowhere", "no such file or folder"),
        ("nowhere/*.parquet", "no file matches"),
        ("nope://bucket/x", "cannot be opened"),
        ("memory://nowhere/*.parquet", "no file matches"),
    ],
)
def test_a_location_without_files_is_refused(location: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        open_pairs(location)
    assert location in str(caught.value)


def test_a_source_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.parquet, \.arrow or \.tar file"):
        open_pairs(str(tmp_path))
    pq.write_table(pairs(0, 0), tmp_path / "pairs.parquet")
    with pytest.raises(DataError, match="not one row"):
        open_pairs(str(tmp_path))
    (tmp_path / "metadata.jsonl").write_text("\n")
    with pytest.raises(DataError, match="not one row"):
        open_pairs(str(tmp_path))


def test_reading_keeps_little_in_memory(tmp_path: Path) -> None:
    """One row group of 64 MB is read in slices: Arrow never holds more than a few of its pages."""
    image = bytes(range(256)) * 1024
    table = pairs(0, 256).set_column(1, "image", pa.array([image] * 256, pa.binary()))
    options = {"compression": "none", "use_dictionary": False, "write_batch_size": 4}  # a page is the least to be read
    pq.write_table(table, tmp_path / "big.parquet", row_group_size=256, **options)
    del table
    before, peak = pa.total_allocated_bytes(), 0
    for unit in open_pairs(str(tmp_path), unit_rows=64).units:
        for part in read_unit(unit, batch_rows=8):
            assert part.num_rows == 8
            peak = max(peak, pa.total_allocated_bytes() - before)
    assert peak < 24 * 2**20
