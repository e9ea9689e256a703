"""Encoders on three nodes, one of which is killed: every document is there, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from lexlip.data.scenes import SceneSettings, write_scenes
from lexlip.index import Index
from pipelines.vector_parts import finished_parts

if TYPE_CHECKING:
    from conftest import Cluster

pytestmark = pytest.mark.cluster

SCENES = 800
PART_ROWS = 4
PARTS_BEFORE_KILL = 20


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_a_node_killed_in_the_middle_of_encoding_loses_and_repeats_nothing(
    cluster: Cluster, tiny_lexlip: Path, tmp_path: Path, show: Callable[[str], None]
) -> None:
    corpus, vectors, index = tmp_path / "corpus", tmp_path / "vectors", tmp_path / "index"
    write_scenes(corpus, SCENES, 11, settings=SceneSettings(image_size=64))
    command = ["python", "pipelines/encode.py", "--model", str(tiny_lexlip), "--data", str(corpus)]
    command += ["--vectors", str(vectors), "--index", str(index), "--shards", "3", "--part-rows", str(PART_ROWS)]
    command += ["--thumbnail-pixels", "0", "--actors", "3", "--actor-cpus", "0.5", "--threads", "1"]
    log = tmp_path / "encode.log"
    program = cluster.start(*command, log=log)
    cluster.wait_for(lambda: len(list(vectors.glob("part-*.parquet"))) >= PARTS_BEFORE_KILL, program, log)
    hosts = [node for node in cluster.nodes if node.processes("MapWorker")]
    cluster.kill(hosts[-1])
    written = len(list(vectors.glob("part-*.parquet")))
    cluster.end_of(program, log)

    parts = SCENES // PART_ROWS
    assert len(hosts) == 3
    assert written < parts
    expected = [row for file in sorted(corpus.glob("*.parquet")) for row in pq.read_table(file)["image_id"].to_pylist()]
    encoded = [row for file in finished_parts(vectors) for row in pq.read_table(file)["id"].to_pylist()]
    assert encoded == expected
    assert [row["id"] for row in Index.open(index).stored(range(SCENES))] == expected
    show(f"encoders on {', '.join(node.name for node in hosts)}; {hosts[-1].name} killed at {written} of {parts} parts")
    show(f"{len(encoded)} documents of {SCENES} in vectors and index, each once, in the order of the corpus")
