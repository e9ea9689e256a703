"""Drawn scenes: the same for the same seed, told truthfully, and pairs like any other."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from lexlip.data.scene_backdrops import BACKDROPS, paint_backdrop
from lexlip.data.scene_captions import IRREGULAR, NAMES, SETTING_WORDS
from lexlip.data.scene_layout import COUNTS
from lexlip.data.scene_objects import THINGS
from lexlip.data.scene_pen import COLOURS, Pen
from lexlip.data.scenes import CONCEPTS, CONCEPTS_BY_KIND, SCENE_SCHEMA, SceneSettings, make_scene, write_scenes
from lexlip.data.sources import open_pairs, read_unit
from lexlip.errors import DataError

SETTINGS = SceneSettings(image_size=64)


def test_there_are_many_concepts_and_all_of_them_occur() -> None:
    assert len(CONCEPTS) == len(set(CONCEPTS)) >= 60
    assert set(CONCEPTS_BY_KIND) == {"object", "colour", "size", "count", "position", "setting"}
    seen = Counter(concept for position in range(600) for concept in make_scene(0, position, SETTINGS).scene.concepts)
    assert set(seen) == set(CONCEPTS)


def test_the_same_seed_gives_the_same_scenes() -> None:
    for position in range(5):
        first, again = (make_scene(7, position, SETTINGS) for _ in range(2))
        assert first == again
        np.testing.assert_array_equal(np.asarray(first.image), np.asarray(again.image))
    assert make_scene(7, 0, SETTINGS).captions != make_scene(8, 0, SETTINGS).captions


def test_captions_differ_and_say_only_what_is_there() -> None:
    settings_by_word = {word: name for name, words in SETTING_WORDS.items() for word in words}
    names = {name: thing for thing in THINGS for name in NAMES.get(thing, (thing,))}
    plurals = {IRREGULAR.get(name, f"{name}s"): thing for name, thing in names.items()}
    for position in range(200):
        drawn = make_scene(1, position, SETTINGS)
        assert len(set(drawn.captions)) == 5
        shown = set(drawn.scene.concepts)
        for caption in drawn.captions:
            told = f" {caption.lower().rstrip('.').replace(',', '')} "
            for phrase, setting in settings_by_word.items():
                if f" {phrase} " in told:
                    told = told.replace(f" {phrase} ", "  ")
                    assert setting in shown, caption
            words = told.split()
            named = {(names | plurals)[word] for word in words if word in names | plurals}
            assert named, caption
            assert named <= shown, caption
            assert {word for word in words if word in COLOURS} <= shown, caption
            assert {word for word in words if word in COUNTS[1:]} <= shown, caption
            assert {word for word in words if word in {"left", "right"}} <= shown, caption


def test_every_thing_is_drawn_in_its_colour_inside_its_circle() -> None:
    for name, thing in THINGS.items():
        canvas = Image.new("RGB", (200, 200), (1, 2, 3))
        thing(Pen(ImageDraw.Draw(canvas), 100, 100, 60, 0.1, True, COLOURS["blue"]))
        pixels = np.asarray(canvas)
        blue = (pixels == COLOURS["blue"]).all(axis=2).mean()
        assert blue > 0.01, name
        rows, columns = np.nonzero((pixels != (1, 2, 3)).any(axis=2))
        assert min(rows.min(), columns.min()) > 20, name
        assert max(rows.max(), columns.max()) < 180, name


def test_every_backdrop_fills_its_canvas_and_varies() -> None:
    for name in BACKDROPS:
        first, second = (np.asarray(paint_backdrop(name, 96, variant)) for variant in (0, 1))
        assert not np.array_equal(first, second), name
        for picture in (first, second):
            assert not (picture == 0).all(axis=2).any(), f"{name} leaves bare canvas"
    assert np.array_equal(np.asarray(paint_backdrop("sea", 32, 3)), np.asarray(paint_backdrop("sea", 32, 3)))


def test_shards_are_pairs_with_concepts(tmp_path: Path) -> None:
    settings = SceneSettings(image_size=64, captions=3, shard_rows=8)
    paths = write_scenes(tmp_path / "train", 20, seed=5, settings=settings)
    assert [path.name for path in paths] == [f"scenes-{shard:05d}.parquet" for shard in range(3)]
    assert sorted((tmp_path / "train").iterdir()) == paths, "nothing temporary is left"
    table = pq.read_table(tmp_path / "train")
    assert table.schema.equals(SCENE_SCHEMA)
    assert table.num_rows == 20
    assert len(set(table["image_id"].to_pylist())) == 20
    for row in table.to_pylist():
        image = Image.open(io.BytesIO(row["image"]))
        assert image.size == (64, 64)
        assert len(row["captions"]) == 3
        assert set(row["concepts"]) <= set(CONCEPTS)
    source = open_pairs(str(tmp_path / "train"))
    assert source.rows == 20
    assert next(read_unit(source.units[0])).schema.names == SCENE_SCHEMA.names


def test_more_scenes_of_a_seed_begin_with_the_same_ones(tmp_path: Path) -> None:
    few, many = (write_scenes(tmp_path / str(count), count, 2, settings=SETTINGS)[0] for count in (3, 6))
    assert pq.read_table(few) == pq.read_table(many).slice(0, 3)
    other = pq.read_table(write_scenes(tmp_path / "other", 3, 3, settings=SETTINGS)[0])
    assert not set(other["image_id"].to_pylist()) & set(pq.read_table(many)["image_id"].to_pylist())


def test_a_second_call_replaces_its_own_shards_and_no_others(tmp_path: Path) -> None:
    first = write_scenes(tmp_path, 3, 1, settings=SETTINGS)[0].read_bytes()
    assert write_scenes(tmp_path, 3, 1, settings=SETTINGS)[0].read_bytes() == first
    (tmp_path / "mine.parquet").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"mine\.parquet"):
        write_scenes(tmp_path, 3, 1, settings=SETTINGS)
    assert (tmp_path / "mine.parquet").read_bytes() == b"mine"


def test_unusable_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="count"):
        write_scenes(tmp_path, 0, 1)
    with pytest.raises(DataError, match="image_size"):
        SceneSettings(image_size=4)
