"""What is worth watching beside the losses: does matching work, and is the lexicon alive.

Shapes: N images, B captions, V vocabulary, X vector width.

Lexicon training fails in known ways: vectors run empty, a few terms come to carry every vector and say nothing, terms
die and never come back. All show in the weights long before recall falls, so they are counted at every step and said
aloud while there is still time to change the regulariser.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from lexlip.model.lexlip import LexLIP
from lexlip.objectives.gathering import gather_keys
from lexlip.objectives.views import Views

SIDES = (("image", "image_pooled_NV", "image_vectors_NX"), ("text", "text_pooled_BV", "text_vectors_BX"))
TOP_TERMS = 10  # of which the share in all weight is watched
MOST_TOP_SHARE = 0.5  # ten terms that carry half of a whole batch are no description of anything
FEWEST_TERMS = 2.0  # a vector of fewer is nearly empty
LARGEST_LOSS_OF_TERMS = 0.5  # share of the terms in use that may fall out of it from one epoch to the next


@torch.no_grad()
def health(views: Views) -> dict[str, Tensor]:
    """Figures from the vectors that the step's objectives have computed; only their products are computed anew.

    Returns:
        in_batch_recall: share of this worker's captions whose image scores highest among this worker's images.
        image_terms, text_terms: mean number of terms above zero, of lexicon models.
        image_used_terms, text_used_terms: how many different terms this worker's rows use together.
        image_top_share, text_top_share: share of the rows' whole weight that their `TOP_TERMS` heaviest terms carry.
    """
    computed = vars(views)
    figures: dict[str, Tensor] = {}
    if "image_vectors_NX" in computed and "text_vectors_BX" in computed:
        scores_BN = views.text_unit_vectors_BX @ views.image_unit_vectors_NX.T
        best_B = scores_BN.argmax(dim=1)
        figures["in_batch_recall"] = (views.batch.image_keys_N[best_B] == views.batch.caption_keys_B).float().mean()
    if isinstance(views.model, LexLIP):
        for side, pooled, vectors in SIDES:
            if pooled in computed:
                above = computed[pooled] > 0
                figures[f"{side}_terms"] = above.sum(dim=1).float().mean()
                figures[f"{side}_used_terms"] = above.any(dim=0).sum().float()
            if vectors in computed:
                weight_V = computed[vectors].float().sum(dim=0)
                top = weight_V.topk(min(TOP_TERMS, len(weight_V))).values.sum()
                figures[f"{side}_top_share"] = top / weight_V.sum().clamp(min=1e-12)
    return figures


class TermUse:
    """Which terms have had a weight since the last reset: what never has in a whole epoch is dead."""

    def __init__(self) -> None:
        self._used_V: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, views: Views) -> None:
        """Counts the rows of a step whose pooled logits the objectives have computed."""
        computed = vars(views)
        for side, pooled, _ in SIDES:
            if pooled in computed:
                used_V = (computed[pooled] > 0).any(dim=0)
                self._used_V[side] = self._used_V[side] | used_V if side in self._used_V else used_V

    def take(self) -> dict[str, float]:
        """Terms in use and dead since the last call, over all workers; then starts again.

        Returns:
            image_live_terms, image_dead_terms, and of texts: numbers of terms; special terms are among the dead.
        """
        figures: dict[str, float] = {}
        for side, used_V in sorted(self._used_V.items()):
            live = int(gather_keys(used_V[None].to(torch.uint8)).any(dim=0).sum())
            figures |= {f"{side}_live_terms": float(live), f"{side}_dead_terms": float(len(used_V) - live)}
        self._used_V = {}
        return figures


def health_warnings(figures: Mapping[str, float], before: Mapping[str, float] | None = None) -> list[str]:
    """What is wrong with a lexicon, in words; empty when nothing is.

    Args:
        figures: means over some steps of what `health` returns, or an epoch's from `TermUse`.
        before: the figures of the epoch before, where there is one.
    """
    found = []
    for side, name in (("image", "images"), ("text", "captions")):
        terms, share = figures.get(f"{side}_terms"), figures.get(f"{side}_top_share")
        if terms is not None and terms < FEWEST_TERMS:
            found.append(
                f"vectors of {name} have {terms:.1f} terms on average and are running empty: "
                "weaken FLOPS, or ramp it up more slowly"
            )
        elif share is not None and share > MOST_TOP_SHARE:
            found.append(
                f"{TOP_TERMS} terms carry {100 * share:.0f} % of the weight of all {name}: they describe nothing; "
                "strengthen FLOPS, or lower the learning rate"
            )
        live, lived = figures.get(f"{side}_live_terms"), (before or {}).get(f"{side}_live_terms")
        if live is not None and lived and live < (1 - LARGEST_LOSS_OF_TERMS) * lived:
            found.append(
                f"terms are dying: {live:.0f} occur in vectors of {name}, {lived:.0f} did in the epoch before; "
                "weaken FLOPS, or lower the learning rate"
            )
    return found
