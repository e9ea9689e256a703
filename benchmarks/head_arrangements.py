"""Three arrangements of the lexicon head: this project's, the plain reference, and the published one.

Shapes: B rows, T tokens, D width, V vocabulary.

Each turns token states into what phase 1 needs of an image: term weights, and the mixture of word embeddings that the
bottleneck decoder reads. The published arrangement is that of github.com/ChiYeungLaw/LexLIP-ICCV23 (Phase1/src/modules/
itr_module.py, mode "both"), written anew: logits of all positions are stored, pooled for the bottleneck, compared with
a second tensor of zeros as large, and pooled again for the weights.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lexlip.model.lexicon_head import lexicon_weights
from lexlip.model.pooling import project_and_max_pool, reference_project_and_max_pool

Arrangement = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def ours(hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor) -> tuple[Tensor, Tensor]:
    """Fused projection and max-pool."""
    pooled_BV = project_and_max_pool(hidden_BTD, projection_VD, bias_V)
    return lexicon_weights(pooled_BV), _mixture(pooled_BV, projection_VD)


def reference(hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor) -> tuple[Tensor, Tensor]:
    """All logits stored, pooled once."""
    pooled_BV = reference_project_and_max_pool(hidden_BTD, projection_VD, bias_V)
    return lexicon_weights(pooled_BV), _mixture(pooled_BV, projection_VD)


def published(hidden_BTD: Tensor, projection_VD: Tensor, bias_V: Tensor) -> tuple[Tensor, Tensor]:
    """All logits stored, rectified before the maximum, pooled twice."""
    return published_pooling(torch.nn.functional.linear(hidden_BTD, projection_VD, bias_V), projection_VD)


def published_pooling(logits_BTV: Tensor, projection_VD: Tensor) -> tuple[Tensor, Tensor]:
    """Weights and bottleneck from logits of all positions, as published."""
    shares_BV = torch.softmax(logits_BTV.max(dim=1).values, dim=-1)
    mixture_BD = shares_BV @ projection_VD.detach()
    rectified_BTV = torch.max(logits_BTV, torch.zeros_like(logits_BTV))
    weights_BV = torch.log(1 + rectified_BTV.max(dim=1).values)
    return weights_BV, mixture_BD


def _mixture(pooled_BV: Tensor, projection_VD: Tensor) -> Tensor:
    """As `lexlip.model.decoder.bottleneck`, whose module takes seconds to import in every measuring process."""
    return torch.softmax(pooled_BV.float(), dim=-1).to(projection_VD.dtype) @ projection_VD.detach()


ARRANGEMENTS: dict[str, Arrangement] = {"ours": ours, "reference": reference, "published": published}
# Tensors of [B, T, V] that exist at the same time, for a guess at what fits: logits and their gradients.
LARGE_TENSORS = {"ours": 0, "reference": 3, "published": 6}
