"""Text tower: any BERT-like transformers encoder, and its masked-LM head when the checkpoint has one.

Shapes: B texts, L tokens, D width, V vocabulary.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, PreTrainedModel

from lexlip.errors import ModelError
from lexlip.vocabulary import Vocabulary


@dataclass(frozen=True)
class TextTowerConfig:
    """A small BERT from scratch; a pretrained one brings its own configuration."""

    width: int = 256
    layers: int = 4
    heads: int = 4
    intermediate: int = 1024
    positions: int = 64
    dropout: float = 0.1

    def to_transformers(self, vocabulary_size: int) -> dict[str, Any]:
        """The same as a transformers configuration dictionary."""
        return {
            "model_type": "bert",
            "vocab_size": vocabulary_size,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.intermediate,
            "max_position_embeddings": self.positions,
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.dropout,
        }


class TextTower(nn.Module):
    """A transformers encoder without pooler.

    Args:
        encoder: a model whose first output is [B, L, D] states.

    Raises:
        ModelError: its word embeddings are not as wide as its states, so that no lexicon head can be tied to them.
    """

    encoder: PreTrainedModel

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        if getattr(encoder, "pooler", None) is not None:
            encoder.register_module("pooler", None)
        self.encoder = encoder
        self.width: int = encoder.config.hidden_size
        if self.embeddings.embedding_dim != self.width:
            raise ModelError(
                f"text tower {encoder.config.model_type!r}: word embeddings are {self.embeddings.embedding_dim} wide, "
                f"states {self.width}; use an encoder where both are equal"
            )

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any]) -> "TextTower":
        """An untrained tower from a transformers configuration dictionary with `model_type`.

        Raises:
            ModelError: transformers does not know such a model.
        """
        values = dict(configuration)
        try:
            config = AutoConfig.for_model(values.pop("model_type"), **values)
        except (KeyError, ValueError) as error:
            raise ModelError(f"text tower configuration: {error}") from error
        return cls(AutoModel.from_config(config))

    @property
    def configuration(self) -> dict[str, Any]:
        """The transformers configuration that rebuilds this tower, whatever version of transformers reads it."""
        config = self.encoder.config
        values = json.loads(config.to_json_string(use_diff=True)) | {"model_type": config.model_type}
        values.pop("transformers_version", None)
        return values

    @property
    def embeddings(self) -> nn.Embedding:
        """The word embeddings."""
        embeddings = self.encoder.get_input_embeddings()
        assert isinstance(embeddings, nn.Embedding)
        return embeddings

    @property
    def word_embeddings(self) -> nn.Parameter:
        """[V, D], also the projection of a tied lexicon head."""
        weight = self.embeddings.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    @property
    def positions(self) -> int:
        """Most tokens of a text."""
        positions: int = self.encoder.config.max_position_embeddings
        return positions

    def forward(self, token_ids_BL: Tensor, padding_BL: Tensor) -> Tensor:
        """[B, L, D] token states; `padding_BL` is True on padding."""
        return self.encoder(input_ids=token_ids_BL, attention_mask=(~padding_BL).long()).last_hidden_state

    def checkpoint_activations(self, on: bool) -> None:
        """Whether layers compute their activations again in the backward pass instead of keeping them.

        Raises:
            ModelError: the encoder cannot.
        """
        if on and not self.encoder.supports_gradient_checkpointing:
            raise ModelError(
                f"text tower {self.encoder.config.model_type!r} cannot checkpoint activations; leave it off"
            )
        if on:
            self.encoder.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        elif self.encoder.is_gradient_checkpointing:
            self.encoder.gradient_checkpointing_disable()

    def keep_terms(self, rows: Sequence[int]) -> None:
        """Keeps the embeddings of some terms only, in the given order; `rows` are ids of the present vocabulary."""
        kept = nn.Embedding(len(rows), self.width, padding_idx=0)
        kept.weight.data.copy_(self.word_embeddings.detach()[torch.tensor(rows)])
        self.encoder.set_input_embeddings(kept)
        self.encoder.config.vocab_size = len(rows)

    def layers(self) -> list[nn.Module]:
        """Embeddings and transformer blocks, input side first."""
        blocks = next(module for module in self.encoder.modules() if isinstance(module, nn.ModuleList))
        return [self.encoder.embeddings, *blocks]


@dataclass(frozen=True)
class MaskedLMHead:
    """The trained masked-LM head of a checkpoint, without its projection, which is the word embeddings.

    Attributes:
        transform: state of a `MaskedLMTransform`.
        bias_V: one value for each term.
    """

    transform: dict[str, Tensor]
    bias_V: Tensor


@dataclass(frozen=True)
class PretrainedText:
    """What a pretrained text checkpoint gives: a tower, its vocabulary, and perhaps a trained masked-LM head."""

    tower: TextTower
    vocabulary: Vocabulary
    head: MaskedLMHead | None


def load_pretrained_text(weights: str, vocabulary: Vocabulary) -> PretrainedText:
    """Reads a transformers folder or hub name and restricts it to `vocabulary`, whose terms must all be known to it.

    Raises:
        ModelError: the checkpoint cannot be read, lacks weights other than the unused pooler, or does not know a term.
        VocabularyError: the checkpoint has no readable vocabulary.
    """
    try:
        config = AutoConfig.from_pretrained(weights)
        has_head = any("MaskedLM" in name or "PreTraining" in name for name in config.architectures or ())
        loader = AutoModelForMaskedLM if has_head and config.model_type == "bert" else AutoModel
        model, report = loader.from_pretrained(weights, dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"text weights {weights!r} cannot be read: {error}") from error
    missing = [name for name in report["missing_keys"] if "pooler" not in name and "position_ids" not in name]
    if missing:
        raise ModelError(f"text weights {weights!r} lack {len(missing)} tensor(s), first {missing[0]!r}.")
    tower = TextTower(model.base_model)
    own = Vocabulary.load(Path(weights)) if Path(weights).is_dir() else Vocabulary.load(_hub_vocabulary(weights))
    rows = [own.id_of(term) for term in vocabulary.terms]
    if own.fingerprint != vocabulary.fingerprint:
        unknown = [term for term, row in zip(vocabulary.terms, rows, strict=True) if row is None]
        if unknown:
            raise ModelError(
                f"text weights {weights!r} do not know {len(unknown)} term(s) of the vocabulary, first {unknown[0]!r}. "
                "Use the checkpoint's own vocabulary or a restriction of it."
            )
        tower.keep_terms([row for row in rows if row is not None])
    head = None
    if loader is AutoModelForMaskedLM:
        transform = model.cls.predictions.transform
        head = MaskedLMHead(
            transform={
                "dense.weight": transform.dense.weight.detach(),
                "dense.bias": transform.dense.bias.detach(),
                "norm.weight": transform.LayerNorm.weight.detach(),
                "norm.bias": transform.LayerNorm.bias.detach(),
            },
            bias_V=model.cls.predictions.bias.detach()[torch.tensor([row for row in rows if row is not None])],
        )
    return PretrainedText(tower, vocabulary, head)


def _hub_vocabulary(name: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, "vocab.txt")).parent
