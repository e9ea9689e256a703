"""From weights to impacts of 4 to 8 bits and back: impact = round(weight / step), at least 1, with step = maximum
weight / levels.
"""

import numpy as np

from lexlip.errors import DataError


def highest_impact(impact_bits: int) -> int:
    """The impact of the maximum weight; 0 means that a term is absent."""
    return (1 << impact_bits) - 1


def impact_step(maximum_weight: float, impact_bits: int) -> float:
    """The weight of one impact unit."""
    return maximum_weight / highest_impact(impact_bits)


def quantise(weights: np.ndarray, maximum_weight: float, impact_bits: int) -> np.ndarray:
    """[postings] uint8 impacts of positive float32 weights.

    Raises:
        DataError: a weight is above `maximum_weight`.
    """
    if weights.size and float(weights.max()) > maximum_weight * (1 + 1e-6):
        raise DataError(
            f"a weight of {weights.max():.6g} is above maximum_weight {maximum_weight:.6g}; give a larger "
            f"maximum_weight to the build settings."
        )
    levels = highest_impact(impact_bits)
    impacts = np.empty(weights.size, np.uint8)
    for start in range(0, weights.size, 1 << 22):  # in pieces, so that no second array of floats is needed
        part = weights[start : start + (1 << 22)]
        impacts[start : start + part.size] = np.clip(np.rint(part * np.float32(levels / maximum_weight)), 1, levels)
    return impacts


def dequantise(impacts: np.ndarray, maximum_weight: float, impact_bits: int) -> np.ndarray:
    """[postings] float32 weights of impacts."""
    return (impacts * np.float32(impact_step(maximum_weight, impact_bits))).astype(np.float32)
