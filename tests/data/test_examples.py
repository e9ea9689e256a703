"""Examples depend on seed, epoch and image id alone; a bad row is named and costs nothing else."""

import io
import pickle

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lexlip.data.examples import ExampleBuilder, ExampleSettings
from lexlip.data.images import ImageLimits, decode_image
from lexlip.data.masking import NOT_MASKED
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import DataError
from lexlip.tables import PAIR_SCHEMA
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary

VOCABULARY = Vocabulary((*SPECIAL_TERMS, "a", "photo", "number", *(f"{digit}" for digit in range(10)), "##0", "##1"))
PREPROCESSING = ImagePreprocessing(size=32)
TEXTS = ("token_ids", "encoder_masked_ids", "encoder_labels", "decoder_masked_ids", "decoder_labels")


def jpeg(seed: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()


def pairs(rows: int) -> pa.Table:
    columns = {
        "image_id": [f"image-{row}" for row in range(rows)],
        "image": [jpeg(row) for row in range(rows)],
        "captions": [[f"a photo {row} number {caption}" for caption in range(5)] for row in range(rows)],
    }
    return pa.table(columns, schema=PAIR_SCHEMA)


def builder(**settings: object) -> ExampleBuilder:
    return ExampleBuilder(VOCABULARY, PREPROCESSING, ExampleSettings(text_tokens=12, **settings))  # type: ignore[arg-type]


def test_shapes_and_types() -> None:
    batch = builder(captions_per_image=3)(pairs(4), epoch=0)
    assert batch["pixels"].shape == (4, 3, 32, 32)
    assert batch["pixels"].dtype == np.uint8
    for name in TEXTS:
        assert batch[name].shape == (4, 3, 12)
        assert batch[name].dtype == np.int32
    assert batch["image_id"].tolist() == [f"image-{row}" for row in range(4)]
    assert batch["problem"].tolist() == [""] * 4


def test_a_row_does_not_depend_on_its_company() -> None:
    make, table = builder(captions_per_image=2), pairs(6)
    together = make(table, epoch=3)
    alone = pickle.loads(pickle.dumps(make))(table.take([4]), epoch=3)
    shuffled = make(table.take([4, 0, 5]), epoch=3)
    for name in ("pixels", *TEXTS):
        np.testing.assert_array_equal(together[name][4], alone[name][0])
        np.testing.assert_array_equal(together[name][4], shuffled[name][0])


@pytest.mark.parametrize("changed", ["epoch", "seed"])
def test_epochs_and_seeds_differ(changed: str) -> None:
    table = pairs(8)
    first = builder()(table, epoch=0)
    second = builder(seed=1)(table, epoch=0) if changed == "seed" else builder()(table, epoch=1)
    for name in ("pixels", *TEXTS):
        assert not np.array_equal(first[name], second[name])


def test_captions_are_drawn_without_repetition_while_they_last() -> None:
    table = pairs(3)
    five = builder(captions_per_image=5)(table, epoch=0)["token_ids"]
    assert all(len({tuple(ids) for ids in row}) == 5 for row in five)
    seven = builder(captions_per_image=7)(table, epoch=0)["token_ids"]
    assert all(len({tuple(ids) for ids in row}) == 5 for row in seven)
    seen = {tuple(builder()(table.slice(0, 1), epoch)["token_ids"][0, 0]) for epoch in range(40)}
    assert len(seen) == 5, "over the epochs every caption has its turn"


def test_masks_belong_to_the_captions() -> None:
    batch = builder(self_mask_share=0.3, decoder_mask_share=0.6)(pairs(64), epoch=0)
    hidden = {}
    for part in ("encoder", "decoder"):
        labels, masked = batch[f"{part}_labels"], batch[f"{part}_masked_ids"]
        chosen = labels != NOT_MASKED
        np.testing.assert_array_equal(labels[chosen], batch["token_ids"][chosen])
        np.testing.assert_array_equal(masked[~chosen], batch["token_ids"][~chosen])
        hidden[part] = chosen.sum()
    assert hidden["decoder"] > 1.5 * hidden["encoder"]


def test_without_augmentation_pixels_are_those_of_evaluation() -> None:
    table = pairs(2)
    batch = builder(augment=False)(table, epoch=5)
    for row, data in enumerate(table["image"].to_pylist()):
        expected = PREPROCESSING.pixels(decode_image(data, ImageLimits()))
        np.testing.assert_array_equal(batch["pixels"][row], expected)


def test_images_alone_need_no_captions() -> None:
    table = pairs(2).set_column(2, "captions", pa.array([None, []], pa.list_(pa.string())))
    batch = builder(captions_per_image=0, augment=False)(table, epoch=0)
    assert batch["problem"].tolist() == ["", ""]
    assert batch["token_ids"].shape == (2, 0, 12)
    assert batch["pixels"].any(axis=(1, 2, 3)).all()


def test_bad_rows_are_named_and_the_others_untouched() -> None:
    good = pairs(7)
    columns = {name: good[name].to_pylist() for name in good.schema.names}
    columns["image"][0] = b"not an image"
    columns["image"][1] = None
    columns["captions"][2] = ["", "  ", None]
    columns["captions"][3] = None
    columns["image_id"][4] = None
    columns["captions"][5] = [None, "", "a photo"]
    batch, expected = (builder()(table, epoch=0) for table in (pa.table(columns, schema=PAIR_SCHEMA), good))
    problems = batch["problem"].tolist()
    assert problems[0].startswith("image-0: these 12 bytes are no JPEG")
    assert problems[1] == "image-1: there is no image"
    assert problems[2] == "image-2: there is no caption with text in it"
    assert problems[3] == "image-3: there is no caption with text in it"
    assert problems[4] == "a row without image id: there is no image id"
    assert problems[5:] == ["", ""]
    for row in range(5):
        assert not batch["pixels"][row].any()
        assert (batch["token_ids"][row] == VOCABULARY.pad_id).all()
        assert (batch["encoder_labels"][row] == NOT_MASKED).all()
    assert batch["token_ids"][5, 0, :4].tolist() == [VOCABULARY.cls_id, 5, 6, VOCABULARY.sep_id]
    for name in ("pixels", *TEXTS):
        np.testing.assert_array_equal(batch[name][6], expected[name][6])


def test_a_table_of_bad_rows_and_an_empty_one_keep_their_shape() -> None:
    bad = pairs(2).set_column(1, "image", pa.array([None, b""], pa.binary()))
    for table, rows in ((bad, 2), (pairs(0), 0)):
        batch = builder(captions_per_image=2)(table, epoch=0)
        assert batch["pixels"].shape == (rows, 3, 32, 32)
        assert batch["token_ids"].shape == (rows, 2, 12)
        assert sum(bool(problem) for problem in batch["problem"]) == rows


def test_a_line_of_pixels_is_no_crash() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (500, 1)).save(buffer, "PNG")
    table = pairs(1).set_column(1, "image", pa.array([buffer.getvalue()], pa.binary()))
    assert builder()(table, epoch=0)["pixels"].shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    "settings", [{"text_tokens": 2}, {"captions_per_image": -1}, {"self_mask_share": 1.5}, {"decoder_mask_share": -0.1}]
)
def test_unusable_settings_are_refused(settings: dict) -> None:
    with pytest.raises(DataError):
        ExampleSettings(**settings)
