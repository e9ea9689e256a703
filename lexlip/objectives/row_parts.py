"""Large batches through a model a part at a time, with the gradients of the whole (gradient caching).

Contrastive learning wants large batches, but activations of the towers fill the memory long before the vectors do. Here
each part of the rows is computed without keeping its activations; what comes out is joined, the objectives see the
whole batch, and in the backward pass each part is computed a second time, when its gradient is known. At any time the
activations of one part exist. Gradients are exactly those of the whole batch, which summing the losses of small batches
would not give. Gao et al. 2021 (arXiv 2101.06983), as activation checkpointing with one segment for each part.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def in_parts(function: Callable[..., Tensor], rows_at_once: int | None, *inputs: Tensor) -> Tensor:
    """`function(*inputs)`, computed for at most `rows_at_once` rows of the inputs at a time.

    Args:
        function: what it makes of a row must not depend on other rows; parts are joined along the first dimension.
            Random choices (dropout) are repeated in the second computation.
        rows_at_once: None computes all rows together and keeps their activations.
        inputs: tensors with equally many rows.
    """
    if rows_at_once is None or len(inputs[0]) <= rows_at_once:
        return function(*inputs)
    parts = zip(*(rows.split(rows_at_once) for rows in inputs), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([function(*part) for part in parts])
    return torch.cat([_recomputed(function, *part) for part in parts])


def _recomputed(function: Callable[..., Tensor], *part: Tensor) -> Tensor:
    made: Tensor = checkpoint(function, *part, use_reentrant=False)
    return made
