"""Text towers: any BERT-like encoder, pretrained checkpoints restricted to some terms, the transform of a masked LM."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel

from lexlip.errors import ModelError, VocabularyError
from lexlip.model.building import ModelSettings, build_lexlip
from lexlip.model.text_tower import TextTower, TextTowerConfig, load_pretrained_text
from lexlip.vocabulary import Vocabulary

SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(scope="module")
def masked_lm(vocabulary: Vocabulary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as transformers publishes masked language models."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(5)
    model = BertForMaskedLM(BertConfig(vocab_size=len(vocabulary), **SMALL))
    torch.nn.init.normal_(model.cls.predictions.bias)
    model.save_pretrained(folder)
    vocabulary.save(folder)
    return folder


def test_padding_changes_nothing() -> None:
    tower = TextTower.from_configuration(TextTowerConfig(width=32, layers=2, heads=2).to_transformers(50)).eval()
    short = torch.tensor([[5, 6, 7]])
    long = torch.tensor([[5, 6, 7, 0, 0]])
    with torch.no_grad():
        expected = tower(short, torch.zeros_like(short, dtype=torch.bool))
        torch.testing.assert_close(tower(long, long == 0)[:, :3], expected)


def test_the_configuration_rebuilds_the_tower() -> None:
    tower = TextTower.from_configuration(TextTowerConfig(width=32, layers=2, heads=2).to_transformers(50))
    again = TextTower.from_configuration(tower.configuration)
    again.load_state_dict(tower.state_dict(), strict=True)
    assert again.configuration == tower.configuration
    assert not any("pooler" in name for name, _ in tower.named_parameters())


@pytest.mark.parametrize("model_type", ["distilbert", "mpnet"])
def test_other_encoders_serve_as_well(model_type: str, vocabulary: Vocabulary, tiny_model_settings: Any) -> None:
    from lexlip.model.image_tower import ImageTower
    from lexlip.model.lexlip import LexLIP

    sizes = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64} if model_type == "distilbert" else SMALL
    tower = TextTower.from_configuration({"model_type": model_type, "vocab_size": len(vocabulary), **sizes})
    image_tower = ImageTower(tiny_model_settings.image)
    model = LexLIP(image_tower, tower, vocabulary, tiny_model_settings.preprocessing).eval()
    assert len(model.encode_text(["a red ball", ""])) == 2
    ids = torch.tensor([[2, 9, 4, 3]])
    assert model.decode_masked(torch.zeros(1, 32), ids).shape == (1, 4, 32)
    assert len(tower.layers()) == 2


def test_encoders_that_no_head_can_be_tied_to_are_refused() -> None:
    with pytest.raises(ModelError, match="16 wide, states 32"):
        TextTower.from_configuration({"model_type": "electra", "vocab_size": 50, "embedding_size": 16, **SMALL})
    with pytest.raises(ModelError, match="no_such_model"):
        TextTower.from_configuration({"model_type": "no_such_model"})


def test_a_masked_lm_brings_its_head_to_both_heads(
    masked_lm: Path, vocabulary: Vocabulary, tiny_model_settings: ModelSettings
) -> None:
    model = build_lexlip(replace(tiny_model_settings, text_weights=str(masked_lm)), vocabulary).eval()
    original = BertForMaskedLM.from_pretrained(masked_lm).eval()
    ids = torch.tensor([[vocabulary.cls_id, 9, vocabulary.mask_id, vocabulary.sep_id]])
    with torch.no_grad():
        expected_LV = original(ids).logits[0]
        for head in (model.text_head, model.image_head):
            torch.testing.assert_close(head.logits(model.text_states(ids)[0]), expected_LV, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_without_masked_lm_starts_from_the_identity(
    vocabulary: Vocabulary, tiny_model_settings: ModelSettings, tmp_path: Path
) -> None:
    BertModel(BertConfig(vocab_size=len(vocabulary), **SMALL)).save_pretrained(tmp_path)
    vocabulary.save(tmp_path)
    assert load_pretrained_text(str(tmp_path), vocabulary).head is None
    model = build_lexlip(replace(tiny_model_settings, text_weights=str(tmp_path)), vocabulary)
    states = torch.randn(3, 32)
    torch.testing.assert_close(model.text_head.transform(states), states, rtol=0, atol=0)


def test_a_restricted_vocabulary_keeps_the_rows_of_its_terms(masked_lm: Path, vocabulary: Vocabulary) -> None:
    captions = ["a red ball on the left", "two small cats"]
    smaller = vocabulary.restrict(captions)
    assert len(smaller) < len(vocabulary)
    whole = load_pretrained_text(str(masked_lm), vocabulary).tower.eval()
    kept = load_pretrained_text(str(masked_lm), smaller).tower.eval()
    assert kept.configuration["vocab_size"] == len(smaller)
    for identifier, term in enumerate(smaller.terms):
        row = vocabulary.id_of(term)
        torch.testing.assert_close(kept.word_embeddings[identifier], whole.word_embeddings[row], rtol=0, atol=0)
    states = []
    for tower, terms in ((whole, vocabulary), (kept, smaller)):
        ids = torch.from_numpy(terms.encode(captions, 12).token_ids).long()
        states.append(tower(ids, ids == terms.pad_id))
    torch.testing.assert_close(states[0], states[1])


def test_terms_that_the_checkpoint_does_not_know_are_refused(masked_lm: Path, vocabulary: Vocabulary) -> None:
    with pytest.raises(ModelError, match=r"do not know 1 term.*'zebra'"):
        load_pretrained_text(str(masked_lm), Vocabulary((*vocabulary.terms, "zebra")))


def test_checkpoints_that_cannot_be_read_are_named(masked_lm: Path, vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere.*cannot be read"):
        load_pretrained_text(str(tmp_path / "nowhere"), vocabulary)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((masked_lm / name).read_bytes())
    with pytest.raises(VocabularyError, match=r"vocab\.txt not found"):
        load_pretrained_text(str(tmp_path), vocabulary)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelError, match="cannot be read"):
        load_pretrained_text(str(tmp_path), vocabulary)
