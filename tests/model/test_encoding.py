"""What a user calls: encoding, reading vectors as words, and explanations."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageOps

from lexlip.data.images import ImageLimits, decode_image
from lexlip.errors import BadImage, ModelError
from lexlip.model.clip import LOWEST_TEMPERATURE, DenseCLIP
from lexlip.model.image_tower import ImageTower, ImageTowerConfig
from lexlip.model.lexicon_head import lexicon_weights
from lexlip.model.lexlip import LexLIP
from lexlip.model.text_tower import TextTower, TextTowerConfig
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary

TEXTS = ["a red ball on the left", "two small cats", "a dog"]


@pytest.fixture(scope="module")
def images(scenes: Path) -> list[bytes]:
    return pq.read_table(scenes, columns=["image"])["image"].to_pylist()[:5]


def test_lexicon_vectors_are_ascending_positive_and_of_unit_length_before_training(
    lexlip: LexLIP, images: list[bytes]
) -> None:
    for vector in lexlip.encode_image(images) + lexlip.encode_text(TEXTS):
        assert len(vector) > 0
        assert (np.diff(vector.terms) > 0).all()
        assert (vector.weights > 0).all()
        assert not set(vector.terms.tolist()) & lexlip.vocabulary.special_ids
        assert np.square(vector.weights).sum() == pytest.approx(1.0, abs=1e-5)
        assert (vector.terms.dtype, vector.weights.dtype) == (np.int32, np.float32)


def test_they_are_the_weights_of_the_model_scaled(lexlip: LexLIP) -> None:
    with torch.no_grad():
        weights_BV = lexlip.text_vectors(lexlip.tokens(TEXTS))
    expected_BV = torch.nn.functional.normalize(weights_BV, dim=-1).numpy()
    for vector, expected in zip(lexlip.encode_text(TEXTS), expected_BV, strict=True):
        np.testing.assert_allclose(vector.weights, expected[vector.terms], rtol=1e-5)
        assert np.count_nonzero(expected) == len(vector)


def test_the_heaviest_terms_are_kept_and_scaled_after_the_cut(lexlip: LexLIP, images: list[bytes]) -> None:
    for whole, cut in zip(lexlip.encode_image(images), lexlip.encode_image(images, top_terms=4), strict=True):
        expected = whole.top(4)
        np.testing.assert_array_equal(cut.terms, expected.terms)
        np.testing.assert_allclose(cut.weights, expected.weights / np.linalg.norm(expected.weights), rtol=1e-5)


@pytest.mark.parametrize("kind", ["lexlip", "clip"])
def test_a_picture_that_is_read_mirrored_too_gets_the_mean_of_both_looks(
    kind: str, images: list[bytes], request: pytest.FixtureRequest
) -> None:
    once = request.getfixturevalue(kind)
    twice = copy.deepcopy(once)
    twice.preprocessing = replace(once.preprocessing, mirrored=True)
    pictures = [decode_image(image, ImageLimits()) for image in images]
    mirrored = [ImageOps.mirror(picture) for picture in pictures]

    def dense(model: LexLIP | DenseCLIP, shown: list[Image.Image]) -> np.ndarray:
        vectors = model.encode_image(shown)
        if isinstance(vectors, np.ndarray):
            return vectors
        rows = np.zeros((len(vectors), len(model.vocabulary)), np.float32)
        for row, vector in zip(rows, vectors, strict=True):
            row[vector.terms] = vector.weights
        return rows

    mean = dense(once, pictures) + dense(once, mirrored)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(dense(twice, pictures), expected, atol=1e-5)
    np.testing.assert_allclose(dense(twice, mirrored), expected, atol=1e-5)
    assert np.abs(dense(once, pictures) - expected).max() > 1e-3


def test_a_model_whose_weights_are_no_numbers_says_so_instead_of_seeing_nothing(lexlip: LexLIP) -> None:
    spoilt = copy.deepcopy(lexlip)
    spoilt.text_head.bias.data.fill_(torch.nan)
    with pytest.raises(ModelError, match="not finite"):
        spoilt.encode_text(["a dog"])


def test_batches_bytes_and_pictures_give_the_same(lexlip: LexLIP, clip: DenseCLIP, images: list[bytes]) -> None:
    pictures = [decode_image(image, ImageLimits()) for image in images]
    for one, three in zip(
        lexlip.encode_image(images, batch_size=1), lexlip.encode_image(pictures, batch_size=3), strict=True
    ):
        np.testing.assert_array_equal(one.terms, three.terms)
        np.testing.assert_allclose(one.weights, three.weights, atol=1e-5)
    # Batches are cut to their longest text, which must not show.
    np.testing.assert_allclose(clip.encode_text(TEXTS, batch_size=1), clip.encode_text(TEXTS), atol=1e-5)
    np.testing.assert_allclose(clip.encode_image(images, batch_size=2), clip.encode_image(pictures), atol=1e-5)


def test_dense_vectors_are_mean_tokens_projected_to_unit_length(clip: DenseCLIP) -> None:
    vectors = clip.encode_text(TEXTS)
    assert vectors.shape == (3, 16)
    assert vectors.dtype == np.float32
    with torch.no_grad():
        ids = clip.tokens(TEXTS[2:])  # alone, and so without padding
        mean = clip.text_states(ids)[0].mean(dim=0)
        expected = torch.nn.functional.normalize(clip.text_projection(mean), dim=0)
    np.testing.assert_allclose(vectors[2], expected, atol=1e-5)
    assert clip.temperature().item() == pytest.approx(0.07)


def test_the_temperature_of_the_dense_model_has_a_lower_bound(vocabulary: Vocabulary, clip: DenseCLIP) -> None:
    cold = DenseCLIP(clip.image_tower, clip.text_tower, vocabulary, clip.preprocessing, 8)
    with torch.no_grad():
        cold.log_temperature.fill_(-20.0)
    assert cold.temperature().item() == pytest.approx(LOWEST_TEMPERATURE)


def test_nothing_in_nothing_out(lexlip: LexLIP, clip: DenseCLIP) -> None:
    assert lexlip.encode_image([]) == lexlip.encode_text([]) == []
    assert clip.encode_image([]).shape == clip.encode_text([]).shape == (0, 16)


def test_an_empty_text_is_encoded_and_a_broken_picture_is_named(lexlip: LexLIP) -> None:
    assert np.isfinite(lexlip.encode_text([""])[0].weights).all()
    with pytest.raises(BadImage):
        lexlip.encode_image([b"no picture"])


def test_long_texts_are_cut_to_the_positions_there_are(vocabulary: Vocabulary, clip: DenseCLIP) -> None:
    settings = TextTowerConfig(width=32, layers=1, heads=2, intermediate=64, positions=6)
    tower = TextTower.from_configuration(settings.to_transformers(len(vocabulary)))
    short = DenseCLIP(clip.image_tower, tower, vocabulary, clip.preprocessing).eval()
    assert short.tokens(["a red ball " * 30]).shape == (1, 6)
    assert clip.tokens(["a red ball " * 30]).shape == (1, 64)
    assert len(short.encode_text(["a red ball " * 30])) == 1


def test_decode_reads_a_vector_as_words(lexlip: LexLIP) -> None:
    term = lexlip.vocabulary.term_of
    vector = LexiconVector(np.array([9, 20, 30], np.int32), np.array([0.2, 0.9, 0.2], np.float32))
    words = lexlip.decode(vector, count=2)
    assert [word for word, _ in words] == [term(20), term(9)]  # ties by lower term id
    assert words[0][1] == pytest.approx(0.9)


def test_an_explanation_sums_to_the_score(lexlip: LexLIP, images: list[bytes]) -> None:
    (image,) = lexlip.encode_image(images[:1], top_terms=200)
    (query,) = lexlip.encode_text(TEXTS[:1])
    dense = np.zeros((2, len(lexlip.vocabulary)))
    dense[0, query.terms], dense[1, image.terms] = query.weights, image.weights
    shares = lexlip.explain(query, image)
    assert sum(share.contribution for share in shares) == pytest.approx(dense[0] @ dense[1], rel=1e-5)
    assert sum(share.share for share in shares) == pytest.approx(1.0)
    assert [share.contribution for share in shares] == sorted((s.contribution for s in shares), reverse=True)
    for share in shares:
        identifier = lexlip.vocabulary.id_of(share.term)
        assert share.contribution == pytest.approx(dense[0, identifier] * dense[1, identifier], rel=1e-5)
    assert lexlip.explain(TEXTS[0], image) == shares


def test_without_a_shared_term_there_is_nothing_to_explain(lexlip: LexLIP) -> None:
    left = LexiconVector(np.array([9], np.int32), np.ones(1, np.float32))
    right = LexiconVector(np.array([10], np.int32), np.ones(1, np.float32))
    assert lexlip.explain(left, right) == []


def test_a_term_map_shows_where_a_weight_comes_from(lexlip: LexLIP, images: list[bytes]) -> None:
    tower = ImageTower(ImageTowerConfig("test_resnet", 64))
    model = LexLIP(tower, lexlip.text_tower, lexlip.vocabulary, lexlip.preprocessing).eval()
    pixels = torch.from_numpy(model.preprocessing.pixels(decode_image(images[0], ImageLimits())))[None]
    with torch.no_grad():
        weights_V = lexicon_weights(model.pool_image(pixels))[0]
    for term in weights_V.topk(3).indices.tolist():
        cells = model.term_map(images[0], [term])
        assert cells.shape == (2, 2)
        assert cells.max() == pytest.approx(weights_V[term].item(), rel=1e-4)


def test_the_term_map_of_a_mirrored_picture_is_the_mirrored_map_where_both_are_looked_at(
    lexlip: LexLIP, images: list[bytes]
) -> None:
    model = copy.deepcopy(lexlip)
    model.preprocessing = replace(lexlip.preprocessing, mirrored=True)
    picture = decode_image(images[0], ImageLimits())
    cells = model.term_map(picture, [20, 21])
    np.testing.assert_allclose(model.term_map(ImageOps.mirror(picture), [20, 21]), cells[:, ::-1], atol=1e-5)
    once = lexlip.term_map(picture, [20, 21]), lexlip.term_map(ImageOps.mirror(picture), [20, 21])[:, ::-1]
    np.testing.assert_allclose(cells, (once[0] + once[1]) / 2, atol=1e-5)


def test_a_term_map_of_a_transformer_leaves_out_the_class_token(lexlip: LexLIP, images: list[bytes]) -> None:
    pixels = torch.from_numpy(lexlip.preprocessing.pixels(decode_image(images[0], ImageLimits())))[None]
    with torch.no_grad():
        states_TD = lexlip.image_states(pixels)[0]
        weights_TV = lexicon_weights(lexlip.image_head.logits(states_TD))
    cells = lexlip.term_map(images[0], [20])
    assert cells.shape == (4, 4)
    np.testing.assert_allclose(cells.reshape(-1), weights_TV[1:, 20], atol=1e-5)
    both = lexlip.term_map(images[0], [20, 21])
    np.testing.assert_allclose(both.reshape(-1), weights_TV[1:, [20, 21]].amax(dim=1), atol=1e-5)
