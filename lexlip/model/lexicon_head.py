"""The lexicon head: token states to weights over the vocabulary.

Shapes: B rows, T tokens, D hidden width, V vocabulary, N selected positions.

logits [B, T, V] -> maximum over tokens -> ReLU -> log(1 + x); LexLIP (arXiv 2302.02908), section 3.1, after SPLADE. The
projection is the word embeddings themselves where the head is tied to a text tower that learns, and else starts as a
copy of them.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from lexlip.model.pooling import project_and_max_pool


class MaskedLMTransform(nn.Module):
    """BERT's masked-LM transform (dense, GELU, LayerNorm), for towers whose checkpoint brings a trained one."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.norm(functional.gelu(self.dense(hidden)))


class ResidualTransform(nn.Module):
    """A correction that starts at zero: h + up(GELU(down(h))).

    Encoders published without a masked-LM head (sentence encoders, for one) still keep their tokens' word embeddings
    readable in the last layer: the product of a state with the embeddings ranks the token itself and its near-synonyms
    first. Starting from the identity keeps that, where a fresh dense layer would have to learn it again.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, width)
        self.up = nn.Linear(width, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.up(functional.gelu(self.down(hidden)))


TRANSFORMS: dict[str, Callable[[int], nn.Module]] = {"masked_lm": MaskedLMTransform, "residual": ResidualTransform}


class LexiconHead(nn.Module):
    """Transform, projection onto the vocabulary, bias.

    Args:
        transform: a module from D to D.
        projection_VD: the projection; pass the word-embedding parameter itself to tie it.
        bias: initial value of every term's bias. Below zero, a term must be clearly present to get any weight.
    """

    def __init__(self, transform: nn.Module, projection_VD: nn.Parameter, bias: float = 0.0) -> None:
        super().__init__()
        self.transform = transform
        self.projection = projection_VD
        self.bias = nn.Parameter(torch.full((projection_VD.shape[0],), bias))

    def forward(self, hidden_BTD: Tensor, padding_BT: Tensor | None = None) -> Tensor:
        """[B, V] logits pooled over the tokens that are not padding."""
        return project_and_max_pool(self.transform(hidden_BTD), self.projection, self.bias, padding_BT)

    def logits(self, hidden_ND: Tensor) -> Tensor:
        """[N, V] logits of single positions, for masked-LM objectives."""
        return functional.linear(self.transform(hidden_ND), self.projection, self.bias)

    def untied_copy(self) -> "LexiconHead":
        """A copy with a projection of its own."""
        duplicate = LexiconHead(copy.deepcopy(self.transform), nn.Parameter(self.projection.detach().clone()))
        duplicate.bias.data.copy_(self.bias.detach())
        return duplicate


def lexicon_weights(pooled_BV: Tensor) -> Tensor:
    """log(1 + ReLU(x)): [B, V] term weights from pooled logits."""
    return torch.log1p(functional.relu(pooled_BV))
