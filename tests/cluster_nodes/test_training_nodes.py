"""Two training workers on two nodes: one node is killed, or taken away with notice and not replaced."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

from lexlip.data.scenes import SceneSettings, write_scenes
from lexlip.model.saving import load_model

if TYPE_CHECKING:
    from conftest import Cluster, Node

pytestmark = pytest.mark.cluster

STEPS = 40  # ten in each of four epochs
ROWS_OF_A_LONG_EPOCH = 1200  # longer than Ray Train takes to notice that a node is about to go, which is 5 s
SNAPSHOT = "checkpoint_manager_snapshot.json"  # Ray Train's own list of checkpoints


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eighty scenes in four files, so that both workers have files of their own."""
    folder = tmp_path_factory.mktemp("pairs")
    write_scenes(folder, 80, 7, settings=SceneSettings(image_size=64, shard_rows=20))
    return folder


def pretrain_command(pairs: Path, out: Path, function: str = "two_phases") -> list[str]:
    run = f"tests/cluster_nodes/tiny_runs.py:{function}"
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


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_a_node_killed_in_the_middle_of_training_changes_no_loss(
    cluster: Cluster, pairs: Path, tmp_path: Path, show: Callable[[str], None]
) -> None:
    steady, broken = tmp_path / "steady", tmp_path / "broken"
    status, output = cluster.run(*pretrain_command(pairs, steady), log=tmp_path / "steady.log")
    assert status == 0, output

    log = tmp_path / "broken.log"
    program = cluster.start(*pretrain_command(pairs, broken), log=log)
    # Written once both workers have reported the first epoch: before that, its checkpoint does not count.
    cluster.wait_for((tmp_path / "broken.training/checkpoints" / SNAPSHOT).is_file, program, log)
    hosts = hosts_of_workers(cluster)
    cluster.kill(hosts[0])
    cluster.add_node()
    cluster.end_of(program, log)

    assert len({host.name for host in hosts}) == len(hosts) == 2
    (expected,) = losses_of(steady)
    parts = losses_of(broken)
    before, after = parts[0], parts[-1]
    assert sorted(expected) == list(range(1, STEPS + 1))
    assert set().union(*parts) == set(expected)
    assert min(after) > 1, "training began again from its first step"
    for part in parts:
        assert part == pytest.approx({step: expected[step] for step in part}, rel=1e-4)
    torch.testing.assert_close(load_model(broken).state_dict(), load_model(steady).state_dict(), rtol=1e-4, atol=1e-5)
    show(f"workers on {hosts[0].name} and {hosts[1].name}; {hosts[0].name} killed after step {max(before)} of {STEPS}")
    show(f"went on from step {min(after)}; losses of all {STEPS} steps equal those of an uninterrupted run")


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_a_node_taken_away_with_notice_leaves_a_checkpoint_and_a_smaller_training(
    cluster: Cluster, tmp_path: Path, show: Callable[[str], None]
) -> None:
    write_scenes(tmp_path / "pairs", ROWS_OF_A_LONG_EPOCH, 7, settings=SceneSettings(image_size=64, shard_rows=100))
    out, log = tmp_path / "model", tmp_path / "training.log"
    # One worker fits on a node. Without notice the only checkpoint would be that of the end.
    options = ["--resources.least-workers", "1", "--resources.worker-cpus", "1.5"]
    command = pretrain_command(tmp_path / "pairs", out, "one_long_epoch")
    program = cluster.start(*command, *options, log=log)
    cluster.wait_for(lambda: "2 worker(s)" in log.read_text(errors="replace"), program, log)
    hosts = hosts_of_workers(cluster)
    cluster.announce_end(hosts[-1])
    cluster.wait_for((tmp_path / "model.training/checkpoints" / SNAPSHOT).is_file, program, log)
    cluster.kill(hosts[-1])
    output = cluster.end_of(program, log)

    assert len({host.name for host in hosts}) == len(hosts) == 2
    starts = re.findall(r"one-long-epoch: (\d) worker\(s\), after step (\d+) of (\d+) of phase bottleneck", output)
    assert int(starts[0][0]) == 2
    workers, after, steps = map(int, starts[-1])
    assert workers == 1
    assert 0 < after < steps
    assert sorted(set().union(*losses_of(out))) == list(range(1, steps + 1))
    assert load_model(out).vocabulary.terms
    show(f"{hosts[-1].name} was announced to end; a checkpoint followed at once, after step {after} of {steps}")
    show("training went on from it with one worker, on the node that was left")
