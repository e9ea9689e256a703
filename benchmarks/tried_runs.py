"""Variants of `flickr8k-cpu-dense-to-sparse`, one change each; results/flickr8k-recipe.md says what came out.

They were tried when pictures were read once in that run, and cuts weighed 1.5 and not 0.5 as now: those of its phase
are variants of `heavier_cuts`.

    python pipelines/pretrain.py --run benchmarks/tried_runs.py:no_words --teacher models/clip --data ... --out ...

Some rows of that page came from throwaway scripts that trained the same phases on kept tokens: the runs here are those
changes as whole runs of the product, in single precision and for eight epochs.
"""

from dataclasses import replace
from typing import Any

from lexlip.model.building import ModelSettings
from lexlip.objectives.caption_words import SaidWords
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.cut_contrastive import CutContrastive
from lexlip.objectives.distillation import Distillation
from lexlip.objectives.flops import Flops
from lexlip.objectives.token_dropout import TokenDropout
from lexlip.training.flickr8k_runs import flickr8k_cpu_clip, flickr8k_cpu_dense_to_sparse
from lexlip.training.phases import Objective
from lexlip.training.run import Run

FLOPS, WORDS, CUTS_WEIGHT = Flops(0.02), SaidWords(telling=True), 1.5  # of the run as it was then


def pictures_read_once() -> Run:
    """Neither learned from nor encoded mirrored too."""
    run = flickr8k_cpu_dense_to_sparse()
    return replace(run, name="pictures-read-once", model=_read_once(run.model))


def heavier_cuts() -> Run:
    """The run as it was when the others here were tried: pictures read once, cuts that weigh three times as much."""
    return _changed("heavier-cuts")


def nothing_hidden() -> Run:
    """Heads see all tokens in every step."""
    return _changed("nothing-hidden", token_dropout=None)


def more_hidden() -> Run:
    """70 % of the patches and 30 % of the words hidden, instead of half and a fifth."""
    return _changed("more-hidden", token_dropout=TokenDropout(0.7, 0.3))


def little_words_too() -> Run:
    """Little words and punctuation count among the words that are said."""
    return _changed("little-words-too", objectives=_objectives(words=SaidWords()))


def lighter_words() -> Run:
    """Words at half the weight, falling to a twentieth."""
    words = SaidWords(weight=0.5, last_weight=0.05, telling=True)
    return _changed("lighter-words", objectives=_objectives(words=words))


def no_words() -> Run:
    """Nothing holds terms to words; heads see all tokens."""
    return _changed("no-words", objectives=_objectives(flops=Flops(0.004), words=None), token_dropout=None)


def sparser() -> Run:
    """Three times the FLOPS regulariser and twice the weight of cuts."""
    return _changed("sparser", objectives=_objectives(flops=Flops(0.06), cuts=2 * CUTS_WEIGHT))


def sparser_to_the_end() -> Run:
    """Three times the FLOPS regulariser, growing until the end."""
    return _changed("sparser-to-the-end", objectives=_objectives(flops=Flops(0.06, ramp_share=1.0)))


def one_caption() -> Run:
    """One caption of a photo in a step, as towers learn."""
    phase = flickr8k_cpu_dense_to_sparse().phases[0]
    return _changed("one-caption", examples=replace(phase.examples, captions_per_image=1))


def tied_text_head() -> Run:
    """The text head projects with the word embeddings under the frozen tower, which cannot learn."""
    run = _changed("tied-text-head")
    return replace(run, model=replace(run.model, tied_text_head=True))


def clip_projections_of_one_caption() -> Run:
    """The dense baseline whose projections learn on with one caption a photo."""
    run = flickr8k_cpu_clip()
    *before, last = run.phases
    alone = replace(last, examples=replace(last.examples, captions_per_image=1))
    return replace(run, name="clip-projections-of-one-caption", phases=(*before, alone))


def _objectives(
    flops: Flops = FLOPS, words: SaidWords | None = WORDS, cuts: float = CUTS_WEIGHT
) -> tuple[Objective, ...]:
    """Those of the run, one or another changed."""
    held = (words,) if words is not None else ()
    return (InBatchContrastive(), flops, CutContrastive(weight=cuts), Distillation(cut_weight=cuts), *held)


def _read_once(model: ModelSettings) -> ModelSettings:
    return replace(model, preprocessing=replace(model.preprocessing, mirrored=False))


def _changed(name: str, **changes: Any) -> Run:
    run = flickr8k_cpu_dense_to_sparse()
    phase = replace(run.phases[0], objectives=_objectives())
    return replace(run, name=name, model=_read_once(run.model), phases=(replace(phase, **changes),))
