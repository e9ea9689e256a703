"""Train on your own captions: prepare pairs, describe a run, train it on Ray, and see how well it finds.

    python examples/train_on_your_captions.py --data 'my_photos/*.tar' --out out/mine

`--data` is anything that lexlip/data/sources.py reads. The run below is for a thousand small pictures and a laptop; for
photos start from `flickr8k_cpu` in lexlip/training/flickr8k_runs.py, which brings pretrained towers.
"""

# %% What is needed
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from lexlip.data.preparing import PrepareSettings
from lexlip.evaluation.retrieval import RetrievalEvaluation
from lexlip.training.demo_runs import demo
from lexlip.training.run import Run
from pipelines.cluster_session import cluster_session
from pipelines.evaluate import Evaluate, describe, evaluate
from pipelines.preparing import prepare_source
from pipelines.training import train


@dataclass(frozen=True)
class Settings:
    """What to train on.

    Attributes:
        data: location of pairs.
        out: folder for pairs and model.
        pixels: of the pictures in training.
        epochs: of the first phase, which does most of the work; 0 leaves it out.
        val_share: of the pictures, kept for the evaluation.
    """

    data: str
    out: Path
    pixels: int = 80
    epochs: int = 4
    val_share: float = 0.1


# %% A run is a value: take one, change what differs
def my_run(settings: Settings) -> Run:
    """The demo's run with its first two phases, at another resolution."""
    words, bottleneck, _ = demo().phases
    phases = [replace(bottleneck, image_size=settings.pixels, epochs=1)]
    if settings.epochs:
        phases.insert(0, replace(words, image_size=settings.pixels, epochs=settings.epochs))
    return replace(demo(), name="mine", phases=tuple(phases))


# %% Pairs, model, recall: each step finds what an interrupted one left
def main(settings: Settings) -> RetrievalEvaluation:
    """Does it all; returns the recall on the pictures that were kept."""
    pairs, model = settings.out / "pairs", settings.out / "model"
    with cluster_session():
        prepare_source(
            settings.data, pairs, PrepareSettings(val_share=settings.val_share, shorter_side=2 * settings.pixels)
        )
        train(my_run(settings), str(pairs / "train"), model).print()
        recall = evaluate(Evaluate(model=model, data=str(pairs / "val")))
    print(describe("mine", recall))
    return recall


if __name__ == "__main__":
    main(tyro.cli(Settings))
