"""Collective operations that objectives need: rows of all workers, with gradients.

Shapes: B rows of this worker, W workers, X vector width.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, distributed


def worker_count() -> int:
    """Workers in the training group; 1 outside of one."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gather_rows(rows_BX: Tensor) -> Tensor:
    """[W * B, X]: the rows of all workers in rank order; the gradient of every worker's loss reaches the rows' owner.

    All workers must hold equally many rows.
    """
    if worker_count() == 1:
        return rows_BX
    gathered: Tensor = _GatherRows.apply(rows_BX)
    return gathered


def gather_keys(keys_B: Tensor) -> Tensor:
    """[W * B]: the same for values without gradient."""
    if worker_count() == 1:
        return keys_B
    parts = [torch.empty_like(keys_B) for _ in range(worker_count())]
    distributed.all_gather(parts, keys_B.contiguous())
    return torch.cat(parts)


def part_of_mean(total: Tensor, count: Tensor) -> Tensor:
    """This worker's part of a mean over the items of all workers: the parts' mean over workers is that mean.

    Args:
        total: sum over this worker's items.
        count: how many they are; workers may have different numbers.
    """
    return total * worker_count() / gather_keys(count[None]).sum().clamp(min=1)


@torch.no_grad()
def average_over_workers(values: Sequence[Tensor]) -> None:
    """Replaces values of each worker, in place, by their means over all workers."""
    if worker_count() == 1 or not values:
        return
    flat = torch.cat([value.flatten() for value in values])
    distributed.all_reduce(flat)
    for value, mean in zip(values, (flat / worker_count()).split([value.numel() for value in values]), strict=True):
        value.copy_(mean.view_as(value))


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows_BX: Tensor) -> Tensor:
        context.rows = rows_BX.shape[0]
        return gather_keys(rows_BX.detach())

    @staticmethod
    def backward(context: Any, grad_gathered: Tensor) -> Tensor:
        # A copy: other parts of the graph may hold the same gradient.
        grad_gathered = grad_gathered.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(grad_gathered)  # sums over the losses of all workers
        start = distributed.get_rank() * context.rows
        return grad_gathered[start : start + context.rows]
