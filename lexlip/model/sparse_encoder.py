"""A LexLIP model behind the interface of sentence-transformers' `SparseEncoder`, so that its evaluators can score it.

    encoder = SparseEncoder.from_pretrained("out/demo/lexlip")
    queries, pictures = encoder.encode_query(["a red boat"]), encoder.encode_document(images)
    encoder.similarity(queries, pictures), encoder.decode(pictures, top_k=5)

sentence-transformers itself is not needed. Shapes: N inputs, M others, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lexlip.errors import ModelError
from lexlip.model.lexlip import LexLIP
from lexlip.tables import LexiconVector

Document = str | bytes | Image.Image


@dataclass
class EvaluationRecords:
    """Where the evaluators of sentence-transformers leave what they measured.

    Attributes:
        metrics: names and values of each evaluation, in order.
    """

    metrics: list[dict[str, float]] = field(default_factory=list)

    def set_evaluation_metrics(self, evaluator: Any, metrics: dict[str, float], **training_step: int) -> None:
        """Called by an evaluator when it is done; this model is not being trained, so the step says nothing."""
        self.metrics.append(dict(metrics))


class SparseEncoder:
    """Encodes texts with the text tower and pictures with the image tower.

    Attributes:
        model: the LexLIP model.
        model_card_data: what evaluators measured.
        similarity_fn_name: how vectors are compared, always "dot"; their lengths are part of it.
    """

    similarity_fn_name = "dot"

    def __init__(self, model: LexLIP) -> None:
        self.model = model
        self.model_card_data = EvaluationRecords()

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str = "cpu") -> "SparseEncoder":
        """Loads a saved model.

        Raises:
            ModelError: the folder holds no LexLIP model.
        """
        return cls(LexLIP.from_pretrained(folder, device))

    def encode_query(self, sentences: str | Sequence[str], **options: Any) -> Any:
        """Vectors of queries: `encode` for texts."""
        return self.encode(sentences, **options)

    def encode_document(self, sentences: Document | Sequence[Document], **options: Any) -> Any:
        """Vectors of documents, pictures (Pillow images or encoded bytes) and texts: `encode`."""
        return self.encode(sentences, **options)

    def encode(
        self,
        sentences: Document | Sequence[Document],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        convert_to_tensor: bool = True,
        convert_to_sparse_tensor: bool = True,
        save_to_cpu: bool = False,
        device: str | None = None,
        max_active_dims: int | None = None,
    ) -> Tensor | list[Tensor]:
        """Lexicon vectors, with the arguments that the evaluators give.

        Args:
            sentences: one input, or several of one or both kinds.
            prompt_name, prompt: must be None or empty; the model was trained without prompts.
            batch_size: inputs a forward pass.
            show_progress_bar: without effect.
            convert_to_tensor: one tensor, or a list of one for each input.
            convert_to_sparse_tensor: sparse COO tensors, or dense ones.
            save_to_cpu: the result is on the CPU whatever the model runs on.
            device: must be None or the device of the model.
            max_active_dims: terms kept, those that together say most; None keeps all.

        Returns:
            float32 [N, V], or N times [V]; [V] for a single input.

        Raises:
            ModelError: a prompt, or another device than the model's.
        """
        if prompt or prompt_name:
            raise ModelError("LexLIP models are trained without prompts: leave prompt and prompt_name out")
        if device is not None and torch.device(device).type != self.model.device.type:
            raise ModelError(f"the model is on {self.model.device}: give device={device!r} to from_pretrained")
        inputs: list[Document]
        if isinstance(sentences, str | bytes | Image.Image):
            alone, inputs = True, [sentences]
        else:
            alone, inputs = False, list(sentences)
        vectors = self._tensor(self._vectors(inputs, batch_size, max_active_dims))
        if not save_to_cpu:
            vectors = vectors.to(self.model.device)
        if not convert_to_sparse_tensor:
            vectors = vectors.to_dense()
        if alone:
            return vectors[0]
        return vectors if convert_to_tensor else [vectors[row] for row in range(len(inputs))]

    def similarity(self, embeddings1: Tensor, embeddings2: Tensor) -> Tensor:
        """[N, M] scores of all pairs: inner products."""
        return torch.mm(_rows(embeddings1), _rows(embeddings2).to_dense().T).to_dense()

    def similarity_pairwise(self, embeddings1: Tensor, embeddings2: Tensor) -> Tensor:
        """[N] scores of the pairs in the same row."""
        return (_rows(embeddings1).to_dense() * _rows(embeddings2).to_dense()).sum(dim=1)

    def decode(self, embeddings: Tensor, top_k: int | None = None) -> Any:
        """Vectors as words: [(word, weight), ...] for one, heaviest first; a list of these for several."""
        decoded = []
        for row_V in _rows(embeddings).to_dense().cpu().numpy():
            terms = np.flatnonzero(row_V > 0).astype(np.int32)
            decoded.append(self.model.decode(LexiconVector(terms, row_V[terms]), count=top_k or len(terms)))
        return decoded[0] if embeddings.dim() == 1 else decoded

    @staticmethod
    def sparsity(embeddings: Tensor) -> dict[str, float]:
        """Mean number of terms of a vector ("active_dims"), and the share of the vocabulary that is not in it."""
        dense_NV = _rows(embeddings).to_dense()
        active = float((dense_NV != 0).sum(dim=1).float().mean())
        return {"active_dims": active, "sparsity_ratio": 1 - active / dense_NV.shape[1]}

    def get_sentence_embedding_dimension(self) -> int:
        """V."""
        return len(self.model.vocabulary)

    def _vectors(self, inputs: Sequence[Document], batch_size: int, top_terms: int | None) -> list[LexiconVector]:
        texts = [place for place, one in enumerate(inputs) if isinstance(one, str)]
        pictures = [place for place, one in enumerate(inputs) if not isinstance(one, str)]
        vectors: list[LexiconVector | None] = [None] * len(inputs)
        encoded = self.model.encode_text([str(inputs[at]) for at in texts], top_terms=top_terms, batch_size=batch_size)
        chosen: list[Any] = [inputs[at] for at in pictures]
        encoded += self.model.encode_image(chosen, top_terms=top_terms, batch_size=batch_size)
        for place, vector in zip([*texts, *pictures], encoded, strict=True):
            vectors[place] = vector
        return [vector for vector in vectors if vector is not None]

    def _tensor(self, vectors: Sequence[LexiconVector]) -> Tensor:
        rows = np.repeat(np.arange(len(vectors)), [len(vector) for vector in vectors])
        terms = np.concatenate([np.empty(0, np.int64), *(vector.terms for vector in vectors)])
        weights = np.concatenate([np.empty(0, np.float32), *(vector.weights for vector in vectors)])
        places = torch.from_numpy(np.stack([rows, terms]).astype(np.int64))
        shape = (len(vectors), len(self.model.vocabulary))
        values = torch.from_numpy(weights.astype(np.float32))
        return torch.sparse_coo_tensor(places, values, shape, check_invariants=True).coalesce()


def _rows(embeddings: Tensor) -> Tensor:
    """[N, V], whether one vector was given or several."""
    return embeddings.unsqueeze(0) if embeddings.dim() == 1 else embeddings
