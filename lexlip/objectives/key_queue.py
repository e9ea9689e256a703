"""A ring buffer of sparse momentum keys.

Shapes: Q entries, C entries of a chunk, K kept terms an entry, B queries, X vector width (the vocabulary, for lexicon
models).

Two queues of 11,520 dense vectors over 30,522 terms would be 2.8 GB in single precision. Keys are sparse, so the queue
keeps the K heaviest entries of each (256: 18 MB a queue) and makes a few hundred of them dense at a time to score
queries.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

NO_IMAGE = -(2**63)  # image key of an entry that was never filled
CHUNK_ENTRIES = 512  # 60 MB when dense over 30,522 terms


class KeyQueue(nn.Module):
    """The last Q keys with the images that they belong to; the oldest are overwritten first.

    Args:
        entries: Q.
        terms: K.
        width: X.
    """

    terms_QK: Tensor
    weights_QK: Tensor
    image_keys_Q: Tensor
    cursor: Tensor

    def __init__(self, entries: int, terms: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("terms_QK", torch.arange(terms, dtype=torch.int32).repeat(entries, 1))
        self.register_buffer("weights_QK", torch.zeros(entries, terms, dtype=torch.float16))
        self.register_buffer("image_keys_Q", torch.full((entries,), NO_IMAGE))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys_BX: Tensor, image_keys_B: Tensor) -> None:
        """Adds keys, wrapping around; of more than Q keys the last Q stay."""
        entries, kept = self.terms_QK.shape
        keys_BX, image_keys_B = keys_BX[-entries:], image_keys_B[-entries:]
        terms_BK = keys_BX.abs().topk(kept, dim=1, sorted=False).indices
        weights_BK = keys_BX.gather(1, terms_BK)
        places = (self.cursor + torch.arange(len(keys_BX), device=keys_BX.device)) % entries
        self.terms_QK[places] = terms_BK.to(torch.int32)
        self.weights_QK[places] = weights_BK.to(torch.float16)
        self.image_keys_Q[places] = image_keys_B
        self.cursor.copy_((self.cursor + len(keys_BX)) % entries)

    def scores(self, queries_BX: Tensor) -> Tensor:
        """[B, Q] products of queries with every entry in single precision, differentiable in the queries."""
        scores_BQ: Tensor = _SparseScores.apply(queries_BX, self.terms_QK, self.weights_QK)
        return scores_BQ

    def unusable(self, image_keys_B: Tensor) -> Tensor:
        """[B, Q], True where an entry is empty or belongs to the query's own image."""
        return (self.image_keys_Q[None, :] == image_keys_B[:, None]) | (self.image_keys_Q == NO_IMAGE)[None, :]


class _SparseScores(torch.autograd.Function):
    """Products with the entries, made dense for one matrix product a chunk: dense products run near peak speed."""

    @staticmethod
    def forward(context: Any, queries_BX: Tensor, terms_QK: Tensor, weights_QK: Tensor) -> Tensor:
        context.width = queries_BX.shape[1]
        context.save_for_backward(terms_QK.clone(), weights_QK.clone())  # the queue moves on before the backward pass
        chunks = _dense_chunks(terms_QK, weights_QK, context.width)
        with torch.autocast(queries_BX.device.type, enabled=False):
            return torch.cat([queries_BX.float() @ entries_CX.T for entries_CX in chunks], dim=1)

    @staticmethod
    def backward(context: Any, grad_BQ: Tensor) -> tuple[Tensor, None, None]:
        terms_QK, weights_QK = context.saved_tensors
        grad_queries_BX = grad_BQ.new_zeros(grad_BQ.shape[0], context.width)
        chunks = _dense_chunks(terms_QK, weights_QK, context.width)
        for grad_BC, entries_CX in zip(grad_BQ.split(CHUNK_ENTRIES, dim=1), chunks, strict=True):
            grad_queries_BX.addmm_(grad_BC, entries_CX)
        return grad_queries_BX, None, None


def _dense_chunks(terms_QK: Tensor, weights_QK: Tensor, width: int) -> Iterator[Tensor]:
    for start in range(0, len(terms_QK), CHUNK_ENTRIES):
        terms_CK, weights_CK = terms_QK[start : start + CHUNK_ENTRIES], weights_QK[start : start + CHUNK_ENTRIES]
        entries_CX = torch.zeros(len(terms_CK), width, device=terms_QK.device)
        yield entries_CX.scatter_(1, terms_CK.long(), weights_CK.float())
