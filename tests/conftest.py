"""What many tests share: one Ray, one small generated data set, one tiny model of each kind. All real, made once.

Ray and torch are imported inside the fixtures, so that tests that need neither start at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from xdist.scheduler import LoadFileScheduling

from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.vocabulary import Vocabulary

if TYPE_CHECKING:
    from lexlip.model.building import ModelSettings

# Starting Ray takes long, and two of them are more than two cores can bear.
FILES_WITH_RAY = ("tests/pipelines/", "tests/serve/test_on_ray.py", "tests/serve/test_metrics.py")
# Tests that run only when asked for: marker -> (environment variable that asks, why not always).
ASKED_FOR = {
    "slow": ("LEXLIP_SLOW_TESTS", "slow"),
    "cluster": ("LEXLIP_CLUSTER_TESTS", "starts Ray nodes and kills them"),
}
METRICS_INTERVAL_MS = "1000"  # the shortest that Ray has; tests of what is exported would wait ten times as long
SCENES = 40
IMAGE_SIZE = 64
SEED = 7


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what takes long, unless it is asked for."""
    for marker, (variable, reason) in ASKED_FOR.items():
        if os.environ.get(variable) != "1":
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(pytest.mark.skip(reason=f"{reason}: set {variable}=1 to run it"))


class OneRay(LoadFileScheduling):
    """Hands whole files to the processes that share the tests, and all files that use Ray to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "ray" if file.startswith(FILES_WITH_RAY) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneRay:
    """How pytest-xdist deals the tests out."""
    return OneRay(config, log)


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with four logical CPUs; everything that needs Ray uses this one."""
    from pipelines.cluster_session import cluster_session

    os.environ.update(RAY_metrics_report_interval_ms=METRICS_INTERVAL_MS)
    with cluster_session(cpus=4):
        yield


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of Parquet with 40 drawn scenes of 64 pixels, five captions each. Read only; copy what you change."""
    from lexlip.data.scenes import SceneSettings, write_scenes

    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, SCENES, SEED, settings=SceneSettings(image_size=IMAGE_SIZE))
    return folder


@pytest.fixture(scope="session")
def vocabulary(scenes: Path) -> Vocabulary:
    """A vocabulary trained from the captions of the scenes."""
    rows = pq.read_table(scenes, columns=["captions"])["captions"].to_pylist()
    return Vocabulary.train([caption for captions in rows for caption in captions], 400)


@pytest.fixture(scope="session")
def tiny_model_settings() -> ModelSettings:
    """Towers from scratch that run in milliseconds."""
    from lexlip.model.building import ModelSettings
    from lexlip.model.image_tower import ImageTowerConfig
    from lexlip.model.text_tower import TextTowerConfig

    return ModelSettings(
        image=ImageTowerConfig("test_vit", image_size=IMAGE_SIZE),
        text=TextTowerConfig(width=32, layers=1, heads=2, intermediate=64),
        preprocessing=ImagePreprocessing(size=IMAGE_SIZE),
        embedding_width=16,
    )


@pytest.fixture(scope="session")
def tiny_lexlip(
    tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary, tiny_model_settings: ModelSettings
) -> Path:
    """A folder with an untrained LexLIP model. Read only."""
    import torch

    from lexlip.model.building import build_lexlip

    torch.manual_seed(SEED)
    folder = tmp_path_factory.mktemp("models") / "lexlip"
    build_lexlip(tiny_model_settings, vocabulary).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_clip(
    tmp_path_factory: pytest.TempPathFactory, vocabulary: Vocabulary, tiny_model_settings: ModelSettings
) -> Path:
    """A folder with an untrained dense model on the same towers. Read only."""
    import torch

    from lexlip.model.building import build_clip

    torch.manual_seed(SEED)
    folder = tmp_path_factory.mktemp("models") / "clip"
    build_clip(tiny_model_settings, vocabulary).save_pretrained(folder)
    return folder
