"""A query lookup learned on Ray for a finished model, and measured beside its text tower."""

from pathlib import Path

import numpy as np
import pytest

from lexlip.errors import ModelError, VocabularyError
from lexlip.evaluation.retrieval import evaluate_sparse
from lexlip.model.query_lookup import QueryLookup
from lexlip.training.lookup_learning import LookupSettings
from lexlip.vocabulary import SPECIAL_TERMS, Vocabulary
from pipelines.encoded_pairs import encode_pairs
from pipelines.encoding import EncodeSettings
from pipelines.evaluate import Evaluate, evaluate
from pipelines.learn_lookup import LearnLookup, learn


@pytest.mark.slow
def test_it_is_learned_saved_and_measured_beside_the_text_tower(
    ray_session: None, tiny_lexlip: Path, scenes: Path, tmp_path: Path
) -> None:
    settings = LookupSettings(epochs=2, batch=16)
    learned = learn(LearnLookup(tiny_lexlip, str(scenes), tmp_path / "lookup", image_terms=20, learning=settings))
    assert (QueryLookup.load(tmp_path / "lookup").weights_V == learned.weights_V).all()
    vectors = tmp_path / "vectors"
    evaluation = evaluate(
        Evaluate(tiny_lexlip, str(scenes), query_terms=6, lookup=tmp_path / "lookup", vectors=vectors)
    )
    assert evaluation.lookup is not None
    whole, cut = (EncodeSettings(top_terms=terms, thumbnail_pixels=0) for terms in (None, 6))
    # What the evaluation encoded is taken up again.
    pairs = encode_pairs(tiny_lexlip, str(scenes), vectors, image_settings=whole, text_settings=cut)
    queries = learned.encode_text(pairs.texts, top_terms=6)
    expected = evaluate_sparse(list(pairs.images), queries, pairs.right)
    assert evaluation.lookup.text_to_image == expected.text_to_image
    assert evaluation.lookup.image_to_text == expected.image_to_text
    record = evaluation.to_json()
    assert record["lookup"]["captions"] == evaluation.captions == 200
    speed = record["query_encoding"]
    assert speed["texts"] == 200
    assert speed["tower_over_lookup"] == pytest.approx(speed["tower_p50_us"] / speed["lookup_p50_us"], abs=0.06)


def test_a_model_without_terms_or_with_others_is_refused(
    tiny_lexlip: Path, tiny_clip: Path, scenes: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="has no lexicon to look terms up in"):
        learn(LearnLookup(tiny_clip, str(scenes), tmp_path / "lookup"))
    other = Vocabulary((*SPECIAL_TERMS, "red", "boat"))
    QueryLookup(other, np.ones(len(other), np.float32)).save(tmp_path / "other")
    with pytest.raises(VocabularyError):
        evaluate(Evaluate(tiny_lexlip, str(scenes), lookup=tmp_path / "other"))
    with pytest.raises(ModelError, match="has no terms that queries could be looked up in"):
        evaluate(Evaluate(tiny_clip, str(scenes), lookup=tmp_path / "other"))
