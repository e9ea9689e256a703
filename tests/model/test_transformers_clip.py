"""A CLIP checkpoint as transformers saves it, random and tiny, stands in for our dense model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from lexlip.errors import ModelError
from lexlip.model.saving import load_encoder
from lexlip.model.transformers_clip import TransformersCLIP

SIDE = 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("checkpoint")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    terms = [*letters, *[f"{letter}</w>" for letter in letters], "<|startoftext|>", "<|endoftext|>"]
    (target / "vocab.json").write_text(json.dumps({term: number for number, term in enumerate(terms)}))
    (target / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(target).save_pretrained(target)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": len(terms), "max_position_embeddings": 12, "eos_token_id": len(terms) - 1,
            "bos_token_id": len(terms) - 2}  # fmt: skip
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config=text, vision_config={**tower, "image_size": SIDE, "patch_size": 8}, projection_dim=8
    )
    CLIPModel(config).save_pretrained(target)
    CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}).save_pretrained(target)
    return target


def test_it_gives_what_transformers_gives(folder: Path) -> None:
    encoder = load_encoder(folder)
    assert isinstance(encoder, TransformersCLIP)
    model, tokenizer = CLIPModel.from_pretrained(folder).eval(), CLIPTokenizer.from_pretrained(folder)
    processor = CLIPImageProcessor.from_pretrained(folder)
    texts = ["a dog", "a red ball " * 9]
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8))
    with torch.inference_mode():
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=12, return_tensors="pt")
        inputs["pixel_values"] = processor(picture, return_tensors="pt")["pixel_values"]
        found = model(**inputs)
    np.testing.assert_allclose(encoder.encode_text(texts), found.text_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_image([picture]), found.image_embeds.numpy(), atol=1e-5)


def test_wide_pictures_are_cropped_and_vectors_have_unit_length(folder: Path) -> None:
    encoder = TransformersCLIP.from_folder(folder)
    assert encoder.preprocessing.resize == "crop"
    vectors = encoder.encode_image([Image.new("RGB", (90, 40), "teal")])
    assert vectors.shape == (1, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_the_fingerprint_changes_with_a_weight(folder: Path) -> None:
    one, other = load_encoder(folder), load_encoder(folder)
    assert one.fingerprint == other.fingerprint
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    assert one.fingerprint != other.fingerprint


def test_a_checkpoint_without_its_preprocessing_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.name != "preprocessor_config.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match=r"not a whole CLIP checkpoint.*preprocessor_config\.json"):
        load_encoder(tmp_path)
