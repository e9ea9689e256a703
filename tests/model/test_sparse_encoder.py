"""The interface of sentence-transformers' SparseEncoder, and its own evaluator over it."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from lexlip.errors import ModelError
from lexlip.model.lexlip import LexLIP
from lexlip.model.sparse_encoder import SparseEncoder

TEXTS = ["a red ball on the left", "two small cats", "a dog"]


@pytest.fixture(scope="module")
def encoder(tiny_lexlip: Path) -> SparseEncoder:
    return SparseEncoder.from_pretrained(tiny_lexlip)


@pytest.fixture(scope="module")
def images(scenes: Path) -> list[bytes]:
    return pq.read_table(scenes, columns=["image"])["image"].to_pylist()[:4]


def test_vectors_are_those_of_the_model(encoder: SparseEncoder, lexlip: LexLIP, images: list[bytes]) -> None:
    mixed = encoder.encode_document([TEXTS[0], images[0], images[1], TEXTS[1]], max_active_dims=9)
    assert mixed.is_sparse
    assert mixed.shape == (4, len(lexlip.vocabulary))
    texts, pictures = lexlip.encode_text(TEXTS[:2], top_terms=9), lexlip.encode_image(images[:2], top_terms=9)
    for row, vector in zip(mixed.to_dense().numpy(), [texts[0], *pictures, texts[1]], strict=True):
        np.testing.assert_array_equal(np.flatnonzero(row), vector.terms)
        np.testing.assert_allclose(row[vector.terms], vector.weights, rtol=1e-4)
    dense = encoder.encode_query(TEXTS, convert_to_sparse_tensor=False, save_to_cpu=True)
    assert not dense.is_sparse
    torch.testing.assert_close(encoder.encode_query(TEXTS[0]).to_dense(), dense[0])
    apart = encoder.encode_query(TEXTS, convert_to_tensor=False)
    assert [one.shape for one in apart] == [(len(lexlip.vocabulary),)] * 3
    torch.testing.assert_close(apart[2].to_dense(), dense[2])


def test_similarity_is_the_inner_product(encoder: SparseEncoder, images: list[bytes]) -> None:
    queries, pictures = encoder.encode_query(TEXTS), encoder.encode_document(images)
    expected = queries.to_dense() @ pictures.to_dense().T
    torch.testing.assert_close(encoder.similarity(queries, pictures), expected)
    torch.testing.assert_close(encoder.similarity(queries[0], pictures), expected[:1])
    three = encoder.encode_document(images[:3])
    torch.testing.assert_close(encoder.similarity_pairwise(queries, three), expected[:, :3].diagonal())
    torch.testing.assert_close(encoder.similarity(queries, queries).diagonal(), torch.ones(3))


def test_decoded_words_are_those_of_the_model(encoder: SparseEncoder, lexlip: LexLIP) -> None:
    decoded = encoder.decode(encoder.encode_query(TEXTS), top_k=3)
    for words, vector in zip(decoded, lexlip.encode_text(TEXTS), strict=True):
        assert [word for word, _ in words] == [word for word, _ in lexlip.decode(vector, count=3)]
    assert encoder.decode(encoder.encode_query(TEXTS[0]), top_k=3) == decoded[0]
    stat = encoder.sparsity(encoder.encode_query(TEXTS, max_active_dims=9))
    assert stat["active_dims"] == 9
    assert stat["sparsity_ratio"] == pytest.approx(1 - 9 / encoder.get_sentence_embedding_dimension())


def test_what_the_model_cannot_do_is_refused(encoder: SparseEncoder) -> None:
    with pytest.raises(ModelError, match="without prompts"):
        encoder.encode_query(TEXTS, prompt="query: ")
    with pytest.raises(ModelError, match="the model is on cpu"):
        encoder.encode_query(TEXTS, device="cuda")


def test_sentence_transformers_evaluates_it(encoder: SparseEncoder, scenes: Path) -> None:
    """Text to image with the library's own evaluator; its figures are checked against brute force."""
    evaluation = pytest.importorskip(
        "sentence_transformers.sparse_encoder.evaluation", reason="sentence-transformers is not installed (extra `dev`)"
    )
    rows = pq.read_table(scenes).slice(0, 8).to_pylist()
    queries = {f"q{at}": row["captions"][0] for at, row in enumerate(rows)}
    corpus = {row["image_id"]: row["image"] for row in rows}
    right = {f"q{at}": {row["image_id"]} for at, row in enumerate(rows)}
    evaluator = evaluation.SparseInformationRetrievalEvaluator(
        queries, corpus, right, accuracy_at_k=[1, 3], precision_recall_at_k=[3], mrr_at_k=[8], write_csv=False
    )
    metrics = evaluator(encoder)
    scores = encoder.similarity(
        encoder.encode_query(list(queries.values())), encoder.encode_document(list(corpus.values()))
    ).numpy()
    ranks = (scores > scores.diagonal()[:, None]).sum(axis=1)
    assert metrics["dot_accuracy@1"] == pytest.approx((ranks < 1).mean())
    assert metrics["dot_recall@3"] == pytest.approx((ranks < 3).mean())
    assert metrics["dot_mrr@8"] == pytest.approx((1 / (1 + ranks)).mean())
    assert metrics["query_active_dims"] > 0
    assert encoder.model_card_data.metrics[-1] == metrics
