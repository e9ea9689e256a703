"""Named runs. Each is a function that returns one complete configuration; copy one to make your own.

`python pipelines/pretrain.py --run flickr8k-cpu --data ... --out ...` finds `flickr8k_cpu` here, and
`--run my_runs.py:my_run` a function in a file of yours.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lexlip.data.augmentation import AugmentationSettings
from lexlip.data.examples import ExampleSettings
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.errors import ModelError
from lexlip.model.building import ModelSettings
from lexlip.model.image_tower import ImageTowerConfig
from lexlip.model.text_tower import TextTowerConfig
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.caption_words import CaptionWords, SaidWords
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.cut_contrastive import CutContrastive
from lexlip.objectives.distillation import Distillation
from lexlip.objectives.flops import Flops
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumSettings
from lexlip.objectives.token_dropout import TokenDropout
from lexlip.training.gpu_runs import cc_gpu, coco_gpu
from lexlip.training.phases import OptimiserSettings, Phase
from lexlip.training.run import Run, VocabularySettings

ALL_STAGES, ALL_LAYERS = 8, 7  # of MobileNetV2, and of MiniLM with its embeddings
HALF_RANGE = (0.5, 0.5, 0.5)  # pixels of -1..1, as MobileNetV2 was trained


def demo() -> Run:
    """LexLIP on drawn scenes, both towers from scratch: two minutes on two cores."""
    # Captions say "left" and "right", so pictures are not mirrored; colours are named, so they are not changed.
    pictures = AugmentationSettings(smallest_crop=0.8, flip_share=0.0, operations=0)
    examples = ExampleSettings(text_tokens=28, augmentation=pictures)
    rates = OptimiserSettings(tower_rate=1e-3, head_rate=1e-3)
    return Run(
        name="demo",
        kind="lexlip",
        model=ModelSettings(
            image=ImageTowerConfig("resnet10t", 80, {"channels": (32, 64, 128, 256)}),
            text=TextTowerConfig(width=128, layers=2, heads=4, intermediate=384),
            preprocessing=ImagePreprocessing(80, HALF_RANGE, HALF_RANGE),
        ),
        phases=(
            Phase(
                name="words",
                objectives=(CaptionWords(),),
                epochs=3,
                batch=64,
                image_size=80,
                optimiser=rates,
                examples=replace(examples, captions_per_image=5),
            ),
            Phase(
                name="bottleneck",
                objectives=(
                    SelfMaskedLM(0.1),
                    TextBottleneck(0.1),
                    ImageBottleneck(0.1),
                    InBatchContrastive(),
                    Flops(0.01),
                ),
                epochs=1,
                batch=64,
                image_size=80,
                optimiser=rates,
                examples=examples,
            ),
            Phase(
                name="momentum",
                objectives=(MomentumContrastive(), InBatchContrastive(), Flops(0.01, ramp_share=0.0)),
                epochs=1,
                batch=64,
                image_size=80,
                half_resolution_share=0.1,
                momentum=MomentumSettings(decay=0.95, queue=512, key_terms=64),
                optimiser=replace(rates, tower_rate=5e-4, head_rate=5e-4),
                examples=examples,
            ),
        ),
        shuffle_rows=256,
    )


def demo_clip() -> Run:
    """The dense baseline on the same towers and data."""
    return _dense_twin(demo(), "demo-clip")


def flickr8k_cpu() -> Run:
    """LexLIP on 6,000 photos with pretrained MobileNetV2 and MiniLM towers: within an hour on two cores.

    Weights are looked for in ../shared/data/weights.
    """
    weights = "../shared/data/weights"
    text_weights = f"{weights}/all_minilm_l6_v2"
    # Cheap epochs first: words as targets need no text tower. Resolution grows at the end.
    words = Phase(
        name="words",
        objectives=(CaptionWords(),),
        epochs=6,
        batch=64,
        image_size=128,
        optimiser=OptimiserSettings(tower_rate=3e-4, head_rate=1e-3),
        examples=ExampleSettings(text_tokens=20, captions_per_image=5),
        frozen_image_stages=6,
        frozen_text_layers=4,
        freeze_batch_norm=True,
    )
    first = replace(
        words,
        name="bottleneck",
        objectives=(
            SelfMaskedLM(0.1),
            TextBottleneck(0.1),
            ImageBottleneck(0.1),
            InBatchContrastive(),
            Flops(0.003),
        ),
        epochs=1,
        optimiser=OptimiserSettings(tower_rate=1e-4, head_rate=5e-4),
        examples=ExampleSettings(text_tokens=20),
    )
    second = replace(
        first,
        name="momentum",
        objectives=(MomentumContrastive(), InBatchContrastive(), Flops(0.003, ramp_share=0.0)),
        momentum=MomentumSettings(decay=0.99, queue=1024, key_terms=256),
        epochs=3,
    )
    third = replace(
        second,
        name="fine-tuning",
        epochs=1,
        image_size=192,
        optimiser=OptimiserSettings(tower_rate=5e-5, head_rate=2e-4),
    )
    # 224 pixels are what MobileNetV2 was trained for; photos of 192 gain from being enlarged.
    fourth = replace(
        third,
        name="full-resolution",
        objectives=(*third.objectives, CutContrastive()),
        epochs=2,
        image_size=224,
        optimiser=OptimiserSettings(tower_rate=1e-4, head_rate=4e-4),
    )
    return Run(
        name="flickr8k-cpu",
        kind="lexlip",
        model=ModelSettings(
            image=ImageTowerConfig("mobilenetv2_100", 128, {"pad_type": "same"}),
            image_weights=f"{weights}/mobilenetv2_100_in1k",
            text_weights=text_weights,
            preprocessing=ImagePreprocessing(128, HALF_RANGE, HALF_RANGE),
            initial_bias=-2.5,
        ),
        vocabulary=VocabularySettings(folder=text_weights, restrict=True),
        phases=(words, first, second, third, fourth),
        shuffle_rows=1500,
    )


def flickr8k_cpu_distilled() -> Run:
    """The same with the dense twin as teacher of the later phases, and the heads alone at the end.

    Give `pretrain.py --teacher` the model of `flickr8k-cpu-clip`.
    """
    base = flickr8k_cpu()
    *before, third, fourth = base.phases
    objectives = (InBatchContrastive(), Flops(0.003, ramp_share=0.0), CutContrastive(), Distillation())
    # The teacher says of every pair what the momentum keys say of a few, so the phases that follow it have none.
    third, fourth = (replace(phase, objectives=objectives, momentum=None) for phase in (third, fourth))
    # Heads learn on when the towers have begun to learn the photos by heart; a step costs no backward pass of theirs.
    heads = replace(
        fourth,
        name="heads",
        epochs=4,
        frozen_image_stages=ALL_STAGES,
        frozen_text_layers=ALL_LAYERS,
        optimiser=OptimiserSettings(tower_rate=2e-4, head_rate=2e-4),
    )
    return replace(base, name="flickr8k-cpu-distilled", phases=(*before, third, fourth, heads))


def flickr8k_cpu_dense_to_sparse() -> Run:
    """Lexicon heads alone, on the towers of the dense twin, which is their teacher: minutes after it is trained.

    Give `pretrain.py --teacher` the model of `flickr8k-cpu-clip`.
    """
    base = flickr8k_cpu()
    # Fresh heads learn at ten times the rate that towers bear. Free, they would take rare near-synonyms for codes.
    heads = replace(
        _on_frozen_towers(base.phases[-1]),
        name="heads",
        objectives=(
            InBatchContrastive(),
            Flops(0.02),
            CutContrastive(weight=1.5),
            Distillation(cut_weight=1.5),
            SaidWords(),
        ),
        epochs=8,
        token_dropout=TokenDropout(),
        optimiser=OptimiserSettings(tower_rate=2e-3, head_rate=3e-3),
    )
    return replace(
        base,
        name="flickr8k-cpu-dense-to-sparse",
        model=replace(base.model, tied_text_head=False),
        towers_of_teacher=True,
        phases=(heads,),
    )


def flickr8k_cpu_clip() -> Run:
    """The dense baseline on the same towers and data, for as many steps; then its projections alone, as heads learn."""
    twin = _dense_twin(flickr8k_cpu(), "flickr8k-cpu-clip")
    projections = replace(
        _on_frozen_towers(twin.phases[-1]),
        name="projections",
        objectives=(InBatchContrastive(),),
        epochs=4,
        optimiser=OptimiserSettings(tower_rate=1e-3, head_rate=1e-3),
    )
    return replace(twin, phases=(*twin.phases, projections))


NAMED_RUNS: dict[str, Callable[[], Run]] = {
    "demo": demo,
    "demo-clip": demo_clip,
    "flickr8k-cpu": flickr8k_cpu,
    "flickr8k-cpu-clip": flickr8k_cpu_clip,
    "flickr8k-cpu-dense-to-sparse": flickr8k_cpu_dense_to_sparse,
    "flickr8k-cpu-distilled": flickr8k_cpu_distilled,
    "cc-gpu": cc_gpu,
    "coco-gpu": coco_gpu,
    "coco-gpu-clip": lambda: _dense_twin(coco_gpu(), "coco-gpu-clip"),
}


def find_run(name: str) -> Run:
    """A named run, or one from a file: "path/to/file.py:function".

    Raises:
        ModelError: there is no such run.
    """
    if name in NAMED_RUNS:
        return NAMED_RUNS[name]()
    path, _, function = name.partition(":")
    if not Path(path).is_file():
        raise ModelError(f"no run {name!r}: known are {', '.join(NAMED_RUNS)}, or give path/to/file.py:function")
    spec = importlib.util.spec_from_file_location("run_file", path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run = getattr(module, function, None)
    if run is None:
        raise ModelError(f"{path} has no function {function!r}")
    made = run()
    if not isinstance(made, Run):
        raise ModelError(f"{path}:{function} gave {type(made).__name__}, not a Run")
    return made


def _on_frozen_towers(phase: Phase) -> Phase:
    """The phase with both towers frozen and remembered, so that all captions of a photo can take part in every step.

    While the text tower learned, they would cost five forward and backward passes of it.
    """
    return replace(
        phase,
        momentum=None,
        batch=128,
        frozen_image_stages=ALL_STAGES,
        frozen_text_layers=ALL_LAYERS,
        remember_towers=True,
        examples=replace(phase.examples, augment=False, captions_per_image=5),
    )


def _dense_twin(run: Run, name: str) -> Run:
    """The same run for the dense baseline: contrastive learning in every phase, in the same number of epochs."""
    return replace(run, name=name, kind="clip", phases=tuple(_dense_phase(phase) for phase in run.phases))


def _dense_phase(phase: Phase) -> Phase:
    """The phase's contrastive objectives; in-batch contrastive where it has none, with one caption an image."""
    kept = tuple(
        objective for objective in phase.objectives if isinstance(objective, MomentumContrastive | InBatchContrastive)
    )
    if kept:
        return replace(phase, objectives=kept)
    return replace(phase, objectives=(InBatchContrastive(),), examples=replace(phase.examples, captions_per_image=1))
