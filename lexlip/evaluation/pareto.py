"""The settings worth having: those that no other setting beats in both respects."""

from collections.abc import Sequence

import numpy as np


def pareto_front(costs: Sequence[float], gains: Sequence[float]) -> list[int]:
    """Numbers of the points that no other point beats with a cost no higher and a gain no lower; by rising cost.

    Of equal points the first is kept.

    Args:
        costs: less is better.
        gains: as many; more is better.
    """
    front: list[int] = []
    best = -np.inf
    for number in np.lexsort((-np.asarray(gains, float), np.asarray(costs, float))):
        if gains[number] > best:
            best = gains[number]
            front.append(int(number))
    return front
