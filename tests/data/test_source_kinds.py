"""The same pairs, whatever form they come in; and what is wrong with a file is said with its place."""

import importlib.util
import json
import pickle
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.dirfs import DirFileSystem
from fsspec.registry import _registry, known_implementations

from lexlip.data.captions import read_captions
from lexlip.data.recipes import RECIPES
from lexlip.data.sources import open_pairs, read_unit
from lexlip.errors import DataError
from lexlip.tables import PAIR_SCHEMA


def _beside(name: str) -> ModuleType:
    """A module of this folder (tests are no package)."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


source_kinds = _beside("source_kinds")
Example = source_kinds.Example
ALL, ONE = source_kinds.WITH_ALL_CAPTIONS, source_kinds.WITH_ONE_CAPTION


@pytest.fixture(scope="module")
def examples(scenes: Path) -> list:
    rows = pq.read_table(scenes).slice(0, 7).to_pylist()
    return [Example(f"{at:09d}", row["image"], row["captions"]) for at, row in enumerate(rows)]


def read_all(location: str, unit_rows: int = 256, batch_rows: int = 64) -> pa.Table:
    units = open_pairs(location, unit_rows=unit_rows).units
    assert all(0 < unit.rows <= unit_rows for unit in units)
    assert max(len(pickle.dumps(unit)) for unit in units) < 1000
    tables = [table for unit in units for table in read_unit(unit, batch_rows=batch_rows)]
    assert all(0 < table.num_rows <= batch_rows for table in tables)
    return pa.concat_tables(tables)


@pytest.mark.parametrize("kind", [*ALL, *ONE])
def test_every_kind_of_source_gives_the_same_pairs(tmp_path: Path, examples: list, kind: str) -> None:
    location = (ALL | ONE)[kind](tmp_path / "source", examples)
    read = read_all(location)
    assert read.select(PAIR_SCHEMA.names).schema == PAIR_SCHEMA
    assert read["image"].to_pylist() == [example.image for example in examples]
    captions = [example.captions if kind in ALL else example.captions[:1] for example in examples]
    assert read["captions"].to_pylist() == captions
    identifiers = read["image_id"].to_pylist()
    assert len(set(identifiers)) == len(examples)
    assert list(read_captions(open_pairs(location))) == [caption for texts in captions for caption in texts]
    for unit_rows, batch_rows in ((1, 64), (3, 2), (4, 3)):  # however it is cut, the rows are the same
        assert read_all(location, unit_rows, batch_rows).to_pylist() == read.to_pylist()
    assert open_pairs(location, unit_rows=3).rows == len(examples)


def test_ids_are_those_of_the_source(tmp_path: Path, examples: list) -> None:
    def first_id(kind: str) -> str:
        return read_all((ALL | ONE)[kind](tmp_path / kind, examples))["image_id"][1].as_py()

    assert first_id("WebDataset") == first_id("img2dataset tars") == first_id("published TSV") == "000000001"
    assert first_id("img2dataset Parquet") == first_id("Arrow of save_to_disk") == "000000001"
    assert first_id("img2dataset files") == "00000/000000001.jpg"
    assert first_id("Karpathy") == "000000001.jpg"
    assert first_id("COCO captions") == "11"
    assert first_id("Parquet of the Hugging Face Hub") == "data/train-00000-of-00001:1"


@pytest.mark.parametrize("kind", ["WebDataset", "img2dataset files", "COCO captions", "Karpathy", "published TSV"])
def test_sources_are_read_behind_urls_too(tmp_path: Path, examples: list, kind: str) -> None:
    location = (ALL | ONE)[kind](tmp_path / "source", examples)
    far = f"memory://{kind.replace(' ', '-')}"
    memory = fsspec.filesystem("memory")
    for file in (tmp_path / "source").rglob("*"):
        if file.is_file():
            memory.pipe_file(f"{far}/{file.relative_to(tmp_path / 'source')}", file.read_bytes())
    there = read_all(location.replace(str(tmp_path / "source"), far), unit_rows=3)
    assert there.to_pylist() == read_all(location).to_pylist()


def test_the_hub_is_read_through_fsspec(tmp_path: Path, examples: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """`hf://` is huggingface_hub's filesystem; here one over a folder takes its place, as there is no network."""
    assert known_implementations["hf"]["class"] == "huggingface_hub.HfFileSystem"

    class HubInAFolder(DirFileSystem):
        protocol = "hf"

        def __init__(self, **options: object) -> None:
            super().__init__(path=str(tmp_path), fs=fsspec.filesystem("file"))

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return path.removeprefix("hf://").rstrip("/")

        def unstrip_protocol(self, name: str) -> str:
            return f"hf://{name}"

    monkeypatch.setitem(_registry, "hf", HubInAFolder)
    source_kinds.hugging_face_parquet(tmp_path / "datasets" / "someone" / "photos", examples)
    read = read_all("hf://datasets/someone/photos/data/train-*.parquet", unit_rows=2)
    assert read["image"].to_pylist() == [example.image for example in examples]


def test_columns_of_any_name_can_be_named(tmp_path: Path, examples: list) -> None:
    rows = [{"photo": one.image, "short": one.captions[0], "long": one.captions[1], "nr": 5} for one in examples]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "odd.parquet")
    with pytest.raises(DataError, match=r"odd\.parquet: column\(s\) image, captions missing; found photo.*#image="):
        open_pairs(str(tmp_path))
    read = read_all(f"{tmp_path}#image=photo&captions=short,long")
    assert read.schema.names == ["image_id", "image", "captions", "nr"]
    assert read["captions"].to_pylist() == [one.captions[:2] for one in examples]
    assert read_all(f"{tmp_path}#image=photo&captions=short&image_id=nr")["image_id"].to_pylist() == ["5"] * 7


def test_splits_are_chosen_from_karpathys_files(tmp_path: Path, examples: list) -> None:
    location = source_kinds.karpathy_json(tmp_path / "source", examples)
    assert read_all(f"{location}#split=train+restval")["split"].to_pylist() == ["train", "restval", "train", "restval"]
    assert read_all(f"{location}#split=test", unit_rows=1)["image"].to_pylist() == [examples[3].image]
    with pytest.raises(DataError, match="no image is in split 'dev'; there are: restval, test, train, val"):
        open_pairs(f"{location}#split=dev")


def test_a_recipe_reads_the_files_where_it_wants_them(tmp_path: Path, examples: list) -> None:
    location = source_kinds.karpathy_json(tmp_path / "coco", examples)
    source_kinds.write_image_files(tmp_path / "coco" / "train2014", examples[:1])
    read = read_all(RECIPES["coco"].locate(tmp_path / "coco"))
    assert read.to_pylist() == read_all(location).to_pylist()
    assert read["image"].to_pylist() == [example.image for example in examples]
    source_kinds.img2dataset_tars(tmp_path / "cc3m", examples)
    assert read_all(RECIPES["conceptual-captions"].locate(tmp_path / "cc3m")).num_rows == len(examples)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("#split=train", "'split' has no meaning"),
        ("#colour=red", "unknown option 'colour'; there are: image, captions"),
        ("#image=a&image=b", "give the option 'image' once"),
        ("#image=", "give the option 'image' once, with a value"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path: Path, examples: list, options: str, reason: str) -> None:
    location = source_kinds.hugging_face_parquet(tmp_path / "source", examples)
    with pytest.raises(DataError, match=reason):
        open_pairs(location + options)


def test_a_missing_image_is_a_row_without_one(tmp_path: Path, examples: list) -> None:
    location = source_kinds.coco_captions(tmp_path / "source", examples)
    (tmp_path / "source" / "val2017" / "000000002.jpg").unlink()
    assert read_all(location)["image"].to_pylist()[1:4] == [examples[1].image, None, examples[3].image]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "no JSON"),
        ("{}", "no annotations of images"),
        ('{"images": [{"id": 1, "file_name": "../a"}], "annotations": []}', "image 0: file_name .* leads out"),
        ('{"images": [], "annotations": [{"image_id": 1}]}', "annotation 0: no image_id or no caption"),
        ('{"images": [{"filename": "a.jpg"}]}', "image 0: no sentences"),
        ('{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}', "not one caption"),
    ],
)
def test_unusable_annotations_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=rf"a\.json.*{reason}"):
        open_pairs(f"{tmp_path}/a.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a dog\ta.jpg\n", "first line has to name"),
        ("title\tfilepath\na\tdog\ta.jpg\n", "byte 15: 3 fields on this line"),
        ("title\tfilepath\na dog\t/etc/passwd\n", "byte 15: filepath .* leads out"),
    ],
)
def test_unusable_lines_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(DataError, match=rf"a\.tsv.*{reason}"):
        open_pairs(f"{tmp_path}/a.tsv")


def test_fields_of_a_tsv_may_be_quoted_and_ids_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('title\tfilepath\n"a ""big"" dog"\ta.jpg\nsay "hi"\tb.jpg\n')
    read = read_all(f"{tmp_path}/a.tsv")
    assert read["captions"].to_pylist() == [['a "big" dog'], ['say "hi"']]
    assert read["image_id"].to_pylist() == ["a.jpg", "b.jpg"]


def test_damaged_tars_are_refused(tmp_path: Path, examples: list) -> None:
    source_kinds.webdataset_tar(tmp_path / "source", examples)
    file = tmp_path / "source" / "shard-000000.tar"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:512] + b"?" * len(whole[512:]), b"no tar at all" * 99):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"shard-000000\.tar"):
            open_pairs(str(file))
    # A damaged header further on is not taken for the end.
    second = next(at for at in range(512, len(whole), 512) if whole[at : at + 9] == b"000000001")
    file.write_bytes(whole[:second] + b"?" * 512 + whole[second + 512 :])
    with pytest.raises(DataError, match=rf"damaged at byte {second}"):
        open_pairs(str(file))


def test_samples_of_a_tar_may_lack_parts(tmp_path: Path, examples: list) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        source_kinds.add_member(archive, "deep/one.PNG", examples[0].image)
        source_kinds.add_member(archive, "deep/._one.txt", b"left by a Mac")
        source_kinds.add_member(archive, "deep/two.txt", b" words alone \n")
    read = read_all(f"{tmp_path}/a.tar")
    assert read["image_id"].to_pylist() == ["deep/one", "deep/two"]
    assert read["image"].to_pylist() == [examples[0].image, None]
    assert read["captions"].to_pylist() == [[], ["words alone"]]
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        source_kinds.add_member(archive, "one.jpg", examples[0].image)
    with pytest.raises(DataError, match=r"no sample has a \.txt"):
        open_pairs(f"{tmp_path}/a.tar")


def test_a_broken_record_is_named(tmp_path: Path, examples: list) -> None:
    location = source_kinds.img2dataset_files(tmp_path / "source", examples)
    (tmp_path / "source" / "00000" / "000000003.json").write_text("{")
    with pytest.raises(DataError, match=r"000000003\.jpg: the \.json beside it is no JSON"):
        read_all(location)
    (tmp_path / "source" / "00000" / "000000003.json").write_text(json.dumps({"captions": [1]}))
    with pytest.raises(DataError, match=r"000000003\.jpg: captions must be"):
        read_all(location)


def test_a_cut_arrow_file_is_refused(tmp_path: Path, examples: list) -> None:
    source_kinds.hugging_face_saved(tmp_path / "source", examples)
    file = tmp_path / "source" / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"data-00000-of-00001\.arrow"):
        open_pairs(str(tmp_path / "source"))
