"""Model folders: model.safetensors, config.json, vocab.txt. Written whole or not at all, loaded strictly."""

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import ModelError
from lexlip.model.clip import DenseCLIP
from lexlip.model.image_tower import ImageTower, ImageTowerConfig
from lexlip.model.lexlip import LexLIP
from lexlip.model.text_tower import TextTower
from lexlip.model.towers import TwoTowers
from lexlip.model.transformers_clip import TransformersCLIP, is_transformers_clip
from lexlip.vocabulary import Vocabulary

FORMAT_VERSION = 3
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
Encoder = LexLIP | DenseCLIP | TransformersCLIP  # what turns pictures and texts into vectors


def save_model(model: TwoTowers, folder: str | Path, training: dict[str, Any] | None = None) -> None:
    """Writes a model folder under a temporary name and renames it.

    Args:
        model: what to save.
        folder: must not exist, or be a model folder, which is then replaced.
        training: facts about how the model was trained, kept in config.json.

    Raises:
        ModelError: `folder` exists and is something else.
    """
    target = Path(folder)
    if target.exists() and not (target / CONFIG_FILE).is_file():
        raise ModelError(f"{target} exists and is no model folder; choose another name or move it away.")
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.parent / f".{target.name}.tmp-{uuid.uuid4().hex[:8]}"
    fresh.mkdir()
    try:
        _write(model, fresh, training or {})
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if target.exists():
        retired = target.parent / f".{target.name}.old-{uuid.uuid4().hex[:8]}"
        os.replace(target, retired)
        os.replace(fresh, target)
        shutil.rmtree(retired)
    else:
        os.replace(fresh, target)


def load_model(folder: str | Path, device: str = "cpu") -> LexLIP | DenseCLIP:
    """Reads a model folder of ours; the result is in evaluation mode on `device`.

    Raises:
        ModelError: a file is missing or damaged, the format is another, or weights and configuration do not fit.
        VocabularyError: the vocabulary in the folder is not the one the model was trained with.
    """
    source = Path(folder)
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (source / name).is_file():
            raise ModelError(
                f"{source}: no {name}; not a model folder. `make demo` or pipelines/pretrain.py makes one."
            )
    try:
        configuration = json.loads((source / CONFIG_FILE).read_text())
        version = configuration.get("format_version")
        if version == FORMAT_VERSION and configuration.get("weights_sha256") != _sha256(source / WEIGHTS_FILE):
            raise ValueError(f"{WEIGHTS_FILE} does not fit its checksum")
        state = load_file(source / WEIGHTS_FILE)
    except (ValueError, AttributeError, SafetensorError) as error:
        raise ModelError(f"{source}: damaged model folder ({error}); restore it or train again.") from error
    if version != FORMAT_VERSION:
        raise ModelError(f"{source}: format version {version}, this program reads {FORMAT_VERSION}; train again.")
    vocabulary = Vocabulary.load(source)
    try:
        vocabulary.require_same(configuration["vocabulary_fingerprint"], f"the model in {source}")
        model = _rebuild(configuration, vocabulary)
        model.set_image_size(model.preprocessing.size)
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{source}: {CONFIG_FILE} lacks a setting or has one too many ({error}); restore it or train again."
        ) from error
    for name in _tied_names(model):
        state[name] = model.state_dict()[name]
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ModelError(f"{source}: weights do not fit config.json: {error}") from error
    return model.eval().to(device)


def load_encoder(folder: str | Path, device: str = "cpu") -> Encoder:
    """Reads a model that encodes pictures and texts: one of ours, or a CLIP checkpoint saved by transformers.

    Raises:
        ModelError, VocabularyError: as `load_model`.
    """
    file = Path(folder) / CONFIG_FILE
    try:
        configuration = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    except ValueError:
        configuration = None  # `load_model` says what is wrong with it
    if is_transformers_clip(configuration):
        return TransformersCLIP.from_folder(Path(folder), device)
    return load_model(folder, device)


def _write(model: TwoTowers, folder: Path, training: dict[str, Any]) -> None:
    # A tied projection is one tensor under two names; it is stored under the first.
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for name in _tied_names(model):
        del state[name]
    save_file(state, folder / WEIGHTS_FILE)
    model.vocabulary.save(folder)
    configuration = model.configuration() | {
        "format_version": FORMAT_VERSION,
        "fingerprint": model.fingerprint,
        "weights_sha256": _sha256(folder / WEIGHTS_FILE),
        "training": training,
    }
    (folder / CONFIG_FILE).write_text(json.dumps(configuration, indent=2, sort_keys=True) + "\n")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _rebuild(configuration: dict[str, Any], vocabulary: Vocabulary) -> LexLIP | DenseCLIP:
    towers = (
        ImageTower(ImageTowerConfig(**configuration["image_tower"])),
        TextTower.from_configuration(configuration["text_tower"]),
        vocabulary,
        ImagePreprocessing.from_json(configuration["preprocessing"]),
    )
    if configuration["kind"] == LexLIP.kind:
        tied = configuration.get("tied_text_head", True)  # said only where it is not
        return LexLIP(*towers, transform=configuration["transform"], tied_text_head=tied)
    if configuration["kind"] == DenseCLIP.kind:
        return DenseCLIP(*towers, embedding_width=configuration["embedding_width"])
    raise ModelError(f"config.json: unknown kind {configuration['kind']!r}; known are 'lexlip' and 'clip'.")


def _tied_names(model: TwoTowers) -> list[str]:
    """Second names of tensors that the state dictionary lists twice."""
    return ["text_head.projection"] if isinstance(model, LexLIP) and model.tied_text_head else []
