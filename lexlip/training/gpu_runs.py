"""Full-size runs for GPUs: ViT-B-sized image tower and BERT-base, as published, with what was learned since.

Text weights are read from a folder: `hf download google-bert/bert-base-uncased --local-dir weights/bert-base-uncased`.
The image tower's come from timm's hub.

Both follow arXiv 2302.02908 (batches, rates, resolutions) and differ from it where small measurements said so:
masked-LM objectives weigh less, FLOPS acts on the weights themselves and is ramped up, a first phase learns caption
words, and fine-tuning also compares vectors cut as an index cuts them. Neither run has been trained yet.
"""

from dataclasses import replace

from lexlip.data.augmentation import AugmentationSettings
from lexlip.data.examples import ExampleSettings
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.model.building import ModelSettings
from lexlip.model.image_tower import ImageTowerConfig
from lexlip.model.text_tower import TextTowerConfig
from lexlip.objectives.bottleneck import ImageBottleneck, TextBottleneck
from lexlip.objectives.caption_words import CaptionWords
from lexlip.objectives.contrastive import InBatchContrastive
from lexlip.objectives.cut_contrastive import CutContrastive
from lexlip.objectives.flops import Flops
from lexlip.objectives.masked_lm import SelfMaskedLM
from lexlip.objectives.momentum import MomentumContrastive, MomentumSettings
from lexlip.training.phases import OptimiserSettings, Phase
from lexlip.training.run import Run, VocabularySettings

BERT_BASE = "weights/bert-base-uncased"
BERT_TERMS = 30_522
HALF_RANGE = (0.5, 0.5, 0.5)  # pixels of -1..1, as BEiT was trained
COCO_IMAGES = 113_287  # Karpathy's training split
CONCEPTUAL_IMAGES = 3_300_000


def coco_gpu() -> Run:
    """LexLIP on COCO's 113,287 training images with five captions each: BEiT-B/16 and BERT-base.

    Meant for one GPU of 80 GB; on smaller ones lower `rows_at_once`, on several it is the same batch shared out.
    """
    examples = ExampleSettings(text_tokens=40, augmentation=AugmentationSettings(operations=2))
    words = Phase(
        name="words",
        objectives=(CaptionWords(),),
        epochs=2,
        batch=768,
        image_size=224,
        optimiser=OptimiserSettings(tower_rate=5e-5, head_rate=2e-4),
        examples=replace(examples, captions_per_image=5),
        rows_at_once=256,
    )
    bottleneck = replace(
        words,
        name="bottleneck",
        objectives=(SelfMaskedLM(0.1), TextBottleneck(0.1), ImageBottleneck(0.1), InBatchContrastive(), Flops(0.003)),
        epochs=10,
        optimiser=OptimiserSettings(tower_rate=5e-5, head_rate=1e-4),
        examples=examples,
    )
    momentum = replace(
        bottleneck,
        name="momentum",
        objectives=(MomentumContrastive(), InBatchContrastive(), Flops(0.003, ramp_share=0.0)),
        momentum=MomentumSettings(),
        batch=2880,
        half_resolution_share=0.5,
    )
    fine_tuning = replace(
        momentum,
        name="fine-tuning",
        objectives=(*momentum.objectives, CutContrastive()),
        epochs=5,
        batch=1536,
        image_size=384,
        half_resolution_share=0.0,
        optimiser=OptimiserSettings(tower_rate=1e-5, head_rate=2e-5),
        rows_at_once=128,
    )
    return Run(
        name="coco-gpu",
        kind="lexlip",
        model=ModelSettings(
            image=ImageTowerConfig("beit_base_patch16_224", 224),
            image_weights="timm",
            text=TextTowerConfig(width=768, layers=12, heads=12, intermediate=3072, positions=512),
            text_weights=BERT_BASE,
            preprocessing=ImagePreprocessing(224, HALF_RANGE, HALF_RANGE),
        ),
        vocabulary=VocabularySettings(folder=BERT_BASE, size=BERT_TERMS),
        phases=(words, bottleneck, momentum, fine_tuning),
        shuffle_rows=8192,
        images=COCO_IMAGES,
    )


def coco_gpu_fine_tuning() -> Run:
    """The last phase of `coco-gpu` alone, for a pre-trained model, given as `pretrain.py --start-from`."""
    coco = coco_gpu()
    return replace(coco, name="coco-gpu-fine-tuning", phases=coco.phases[-1:], fine_tunes=True)


def cc_gpu() -> Run:
    """LexLIP on web pairs of the size of Conceptual Captions (3.3 million, one caption each); no fine-tuning.

    What comes out is fine-tuned by `coco-gpu-fine-tuning`.
    """
    coco = coco_gpu()
    words, bottleneck, momentum, _ = coco.phases
    return replace(
        coco,
        name="cc-gpu",
        phases=(
            replace(words, epochs=1, examples=replace(words.examples, captions_per_image=1)),
            replace(bottleneck, epochs=5),
            replace(momentum, epochs=35),
        ),
        images=CONCEPTUAL_IMAGES,
    )
