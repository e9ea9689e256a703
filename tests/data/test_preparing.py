"""Rows are checked, made smaller and cleaned; copies are found; recipes say what they need."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lexlip.data.images import ImageLimits
from lexlip.data.preparing import (
    PrepareSettings,
    clean_captions,
    prepare_rows,
    rows_to_keep,
    smaller_image,
    splits_of,
)
from lexlip.data.recipes import RECIPES
from lexlip.errors import BadImage, DataError
from lexlip.tables import PAIR_SCHEMA

LIMITS = ImageLimits()


def photo(width: int, height: int, form: str = "JPEG", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, form)
    return sink.getvalue()


def pairs(*rows: tuple[str | None, bytes | None, list[str | None] | None]) -> pa.Table:
    names = PAIR_SCHEMA.names
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=PAIR_SCHEMA)


def test_only_pictures_that_are_too_large_are_written_anew() -> None:
    small = photo(40, 30, "PNG")
    assert smaller_image(small, 30, 90, LIMITS) is small
    assert smaller_image(small, 0, 90, LIMITS) is small
    for width, height, expected in ((400, 300, (40, 30)), (60, 33, (55, 30)), (31, 900, (30, 871))):
        with Image.open(io.BytesIO(smaller_image(photo(width, height), 30, 90, LIMITS))) as smaller:
            assert (smaller.size, smaller.format) == (expected, "JPEG")
    with pytest.raises(BadImage):
        smaller_image(b"no picture", 30, 90, LIMITS)


def test_rows_that_cannot_be_used_are_named() -> None:
    good = photo(20, 20)
    table = pairs(
        ("a", good, [" a  dog\n", None, "", "a dog", "two dogs"]),
        ("b", b"broken", ["a"]),
        ("c", good, [" ", None]),
        (None, good, ["a"]),
        ("d", None, ["a"]),
        ("e", good, None),
    )
    prepared = prepare_rows(table, PrepareSettings(), LIMITS)
    assert prepared.table["image_id"].to_pylist() == ["a"]
    assert prepared.table["captions"].to_pylist() == [["a dog", "two dogs"]]
    assert prepared.table["image"].to_pylist() == [good]
    assert [identifier for identifier, _ in prepared.dropped] == ["b", "c", "a row without image id", "d", "e"]
    assert "no JPEG" in prepared.dropped[0][1]
    without = prepare_rows(table, PrepareSettings(captions_required=False), LIMITS)
    assert without.table["image_id"].to_pylist() == ["a", "c", "e"]


def test_a_picture_is_in_the_same_split_wherever_it_turns_up() -> None:
    images = [photo(4, 4, "PNG", seed) for seed in range(300)]
    table = pairs(*[(f"{at}", image, ["a"]) for at, image in enumerate(images)])
    wanted = PrepareSettings(val_share=0.2, test_share=0.3)
    splits = splits_of(prepare_rows(table, wanted, LIMITS).table, wanted)
    assert 60 < splits.count("test") < 120
    assert 35 < splits.count("val") < 85
    backwards = pairs(*[(f"other-{at}", image, ["b"]) for at, image in reversed(list(enumerate(images)))])
    assert splits_of(prepare_rows(backwards, wanted, LIMITS).table, wanted) == splits[::-1]
    reseeded = PrepareSettings(val_share=0.2, test_share=0.3, seed=1)
    assert splits_of(prepare_rows(table, reseeded, LIMITS).table, reseeded) != splits


def test_own_splits_are_taken_by_their_usual_names() -> None:
    own = PrepareSettings(own_splits=True)
    table = prepare_rows(pairs(*[(name, photo(4, 4), ["a"]) for name in "abc"]), own, LIMITS).table
    with pytest.raises(DataError, match="no column 'split'"):
        splits_of(table, own)
    named = table.append_column("split", pa.array(["restval", "dev", "test"]))
    assert splits_of(named, own) == ["train", "val", "test"]
    with pytest.raises(DataError, match="splits called held-out; known are train"):
        splits_of(table.append_column("split", pa.array(["train", "held-out", "val"])), own)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30))
def test_one_of_several_copies_stays(rows: list[tuple[int, bool]]) -> None:
    digests = np.array([str(digest) for digest, _ in rows], dtype="S4")
    protected = np.array([flag for _, flag in rows], bool)
    keep, keeper = rows_to_keep(digests, protected)
    for row, (digest, flag) in enumerate(rows):
        copies = [other for other, (same, _) in enumerate(rows) if same == digest]
        safe = [other for other in copies if rows[other][1]]
        assert keeper[row] == (safe or copies)[0]
        assert keep[row] == (flag or (not safe and row == copies[0]))


@pytest.mark.parametrize(
    "values",
    [{"quality": 99}, {"val_share": 0.5, "test_share": 0.5}, {"own_splits": True, "val_share": 0.1}, {"shard_rows": 0}],
)
def test_settings_that_cannot_be_are_refused(values: dict) -> None:
    with pytest.raises(DataError):
        PrepareSettings(**values)


def test_captions_are_cleaned() -> None:
    assert clean_captions(["a  b", None, " ", "a b", "c"]) == ["a b", "c"]
    assert clean_captions(None) == []


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipes_say_where_their_files_go(tmp_path: Path, name: str) -> None:
    recipe = RECIPES[name]
    with pytest.raises(DataError) as caught:
        recipe.locate(tmp_path)
    for file in recipe.files:
        assert str(tmp_path / file.path) in str(caught.value)
        made = tmp_path / file.path.replace("*", "one")
        made.parent.mkdir(exist_ok=True)
        made.write_bytes(b"")
    assert recipe.locate(tmp_path).startswith(str(tmp_path))
