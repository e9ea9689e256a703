"""A source becomes splits of Parquet, on Ray: whole, without copies, the same each time, and resumable."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexlip.data.preparing import PrepareSettings
from lexlip.data.sources import open_pairs
from lexlip.errors import DataError
from lexlip.tables import PAIR_SCHEMA
from pipelines import preparing
from pipelines.prepare import Prepare
from pipelines.preparing import prepare_source

pytestmark = pytest.mark.usefixtures("ray_session")


@pytest.fixture
def karpathy(scenes: Path, tmp_path: Path) -> str:
    """Twelve scenes in a Karpathy file; a training picture is a copy of a test picture, and one file is missing."""
    rows = pq.read_table(scenes).slice(0, 12).to_pylist()
    rows[4]["image"] = rows[3]["image"]
    (tmp_path / "source").mkdir()
    images = []
    for at, row in enumerate(rows):
        (tmp_path / "source" / f"{at}.jpg").write_bytes(row["image"])
        sentences = [{"raw": caption} for caption in row["captions"]]
        images.append(
            {"filename": f"{at}.jpg", "split": ("train", "restval", "val", "test")[at % 4], "sentences": sentences}
        )
    (tmp_path / "source" / "9.jpg").unlink()
    (tmp_path / "source" / "dataset.json").write_text(json.dumps({"images": images}))
    return f"{tmp_path}/source/dataset.json"


def test_own_splits_stay_whole_and_training_keeps_no_copy_of_them(karpathy: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = PrepareSettings(own_splits=True, shorter_side=32, shard_rows=2)
    summary = prepare_source(karpathy, out, settings)
    assert summary.splits == {"test": 3, "train": 4, "val": 3}
    assert (summary.rows, summary.copies, summary.dropped_rows) == (12, 1, 2)
    assert {row.id: row.reason for row in summary.dropped} == {
        "9.jpg": "there is no image",
        "4.jpg": "the picture is the same as that of 3.jpg",
    }
    assert [file.name for file in sorted((out / "train").iterdir())] == ["train-00000.parquet", "train-00001.parquet"]
    train = pq.read_table(out / "train")
    assert train["image_id"].to_pylist() == ["0.jpg", "1.jpg", "5.jpg", "8.jpg"]
    assert train.select(PAIR_SCHEMA.names).schema.remove_metadata() == PAIR_SCHEMA
    assert open_pairs(str(out / "test")).rows == 3
    assert json.loads((out / "summary.json").read_text())["splits"] == summary.splits
    assert {entry.name for entry in out.iterdir()} == {"preparing.json", "summary.json", "train", "val", "test"}

    assert prepare_source(karpathy, out, settings) == summary  # finished before
    with pytest.raises(DataError, match="other data or with other settings"):
        prepare_source(karpathy, out, PrepareSettings(own_splits=True))


def test_an_interrupted_job_goes_on_and_copies_hand_on_their_captions(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = pq.read_table(scenes)
    originals = whole.slice(0, 7).to_pylist()
    copies = [originals[at] | {"image_id": f"copy-{at}", "captions": [f"seen anew {at}"]} for at in (0, 1)]
    same_id = originals[5] | {"image": originals[6]["image"]}
    (tmp_path / "source").mkdir()
    changed = pa.Table.from_pylist([*originals[:6], *copies, same_id], schema=whole.schema)
    pq.write_table(changed, tmp_path / "source" / "a.parquet", row_group_size=3)
    settings = PrepareSettings(val_share=0.3, shorter_side=0)

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "deal_out", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_source(str(tmp_path / "source"), tmp_path / "out", settings)
    monkeypatch.undo()
    with pytest.raises(DataError):
        open_pairs(str(tmp_path / "out"))  # nothing half-made is taken for data

    summary = prepare_source(str(tmp_path / "source"), tmp_path / "out", settings)
    assert "3 of 3 parts are already there" in capsys.readouterr().out
    assert (sum(summary.splits.values()), summary.copies, summary.dropped_rows) == (6, 2, 3)
    assert summary.dropped[2].reason == "the image id was there before, with another picture"
    rows = {
        row["image_id"]: row for split in summary.splits for row in pq.read_table(tmp_path / "out" / split).to_pylist()
    }
    first = rows[originals[0]["image_id"]]
    assert first == originals[0] | {"captions": [*originals[0]["captions"], "seen anew 0"]}


def test_the_command_takes_data_or_a_recipe(tmp_path: Path) -> None:
    assert Prepare(tmp_path, data="x").source() == ("x", PrepareSettings())
    for job in (
        Prepare(tmp_path),
        Prepare(tmp_path, data="x", root=tmp_path),
        Prepare(tmp_path, recipe="coco"),
        Prepare(tmp_path, data="x", recipe="coco", root=tmp_path),
    ):
        with pytest.raises(DataError, match="--root FOLDER"):
            job.source()
    with pytest.raises(DataError, match=r"put there .*dataset_coco\.json"):
        Prepare(tmp_path, recipe="coco", root=tmp_path).source()
    (tmp_path / "one.tar").touch()
    location, settings = Prepare(tmp_path, recipe="conceptual-captions", root=tmp_path).source()
    assert (location, settings.own_splits) == (str(tmp_path), False)


def test_a_source_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    table = pa.table({"image_id": ["a"], "image": [b"broken"], "captions": [["a dog"]]})
    (tmp_path / "source").mkdir()
    pq.write_table(table, tmp_path / "source" / "a.parquet")
    with pytest.raises(DataError, match="not one row could be used, the first because: these 6 bytes are no JPEG"):
        prepare_source(str(tmp_path / "source"), tmp_path / "out", PrepareSettings())
    assert not (tmp_path / "out" / "summary.json").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("x")
    with pytest.raises(DataError, match="is not empty"):
        prepare_source(str(tmp_path / "source"), tmp_path / "mine", PrepareSettings())
