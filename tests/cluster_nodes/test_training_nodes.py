"""Two training workers on two nodes, one of which is killed: the loss of every step stays what it was."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from lexlip.data.scenes import SceneSettings, write_scenes
from lexlip.model.saving import load_model

if TYPE_CHECKING:
    from conftest import Cluster, Node

pytestmark = pytest.mark.cluster

STEPS = 40  # ten in each of four epochs
WAIT_SECONDS = 180


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty scenes in four files, so that both workers have files of their own."""
    folder = tmp_path_factory.mktemp("pairs")
    write_scenes(folder, 80, 7, settings=SceneSettings(image_size=64, shard_rows=20))
    return folder


def pretrain_command(pairs: Path, out: Path) -> list[str]:
    run = "tests/cluster_nodes/tiny_runs.py:two_phases"
    command = ["python", "pipelines/pretrain.py", "--run", run, "--data", str(pairs), "--out", str(out)]
    return [*command, "--resources.workers", "2", "--resources.threads", "1"]


def losses_of(model: Path) -> list[dict[int, float]]:
    """The loss by step, for each time that training was started."""
    files = sorted(Path(f"{model}.training").glob("tensorboard/events.*"), key=lambda file: file.stat().st_mtime)
    return [
        {
            event.step: value.simple_value
            for event in LegacyEventFileLoader(str(file)).Load()
            for value in event.summary.value
            if value.tag == "loss"
        }
        for file in files
    ]


def hosts_of_workers(cluster: Cluster) -> list[Node]:
    return [node for node in cluster.nodes for _ in node.processes("RayTrainWorker")]


def test_a_node_killed_in_the_middle_of_training_changes_no_loss(
    three_nodes: Cluster, pairs: Path, tmp_path: Path, show: Callable[[str], None]
) -> None:
    cluster, steady, broken = three_nodes, tmp_path / "steady", tmp_path / "broken"
    status, output = cluster.run(*pretrain_command(pairs, steady), log=tmp_path / "steady.log")
    assert status == 0, output

    log = tmp_path / "broken.log"
    program = cluster.start(*pretrain_command(pairs, broken), log=log)
    end = time.monotonic() + WAIT_SECONDS
    while not list(tmp_path.glob("broken.training/checkpoints/checkpoint_*/state.pt")):
        assert program.poll() is None, log.read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    hosts = hosts_of_workers(cluster)
    cluster.kill(hosts[0])
    cluster.add_node()
    assert program.wait(WAIT_SECONDS) == 0, log.read_text()

    assert len({host.name for host in hosts}) == len(hosts) == 2
    (expected,) = losses_of(steady)
    before, *_, after = losses_of(broken)
    assert sorted(expected) == list(range(1, STEPS + 1))
    assert set(before) | set(after) == set(expected)
    assert min(after) > 1, "training began again from its first step"
    for part in (before, after):
        assert part == pytest.approx({step: expected[step] for step in part}, rel=1e-4)
    assert load_model(broken).fingerprint != ""
    show(f"workers on {hosts[0].name} and {hosts[1].name}; {hosts[0].name} killed after step {max(before)} of {STEPS}")
    show(f"went on from step {min(after)}; losses of all {STEPS} steps equal those of an uninterrupted run")
