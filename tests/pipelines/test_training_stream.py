"""The stream of training examples: every row once an epoch, in an order that follows from seed, epoch and rank."""

import shutil
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.data
from ray.data._internal.execution.streaming_executor import StreamingExecutor

from lexlip.data.examples import ExampleBuilder, ExampleSettings
from lexlip.data.preprocessing import ImagePreprocessing
from lexlip.data.sources import PairSource, open_pairs
from lexlip.errors import DataError
from lexlip.vocabulary import Vocabulary
from pipelines.paced_scheduling import STEP_SECONDS, PacedScheduling
from pipelines.training_stream import ExampleStream, StreamShare

MakeStream = Callable[..., ExampleStream]


@pytest.fixture(scope="module")
def make_stream(ray_session: None, scenes: Path, vocabulary: Vocabulary) -> MakeStream:
    """A stream over the forty scenes in ten units; keyword arguments change its share."""

    def make(source: PairSource | None = None, **changes: int) -> ExampleStream:
        settings = ExampleSettings(text_tokens=12, augment=False)
        builder = ExampleBuilder(vocabulary, ImagePreprocessing(size=16), settings)
        pairs = source or open_pairs(str(scenes), unit_rows=4)
        share = {"rank": 0, "world": 1, "batch": 8, "shuffle_rows": 8, "seed": 0} | changes
        steps = max(1, pairs.rows // (share["batch"] * share["world"]))
        return ExampleStream(pairs.units, builder, StreamShare(**share, steps=steps))

    return make


def batches_of(stream: ExampleStream, epoch: int) -> list[dict[str, np.ndarray]]:
    return [batch for _, batches in stream.epochs(epoch, epoch + 1) for batch in batches]


def ids_of(stream: ExampleStream, epoch: int) -> list[str]:
    return [str(image_id) for batch in batches_of(stream, epoch) for image_id in batch["image_id"]]


def test_every_row_comes_once_an_epoch_in_another_order_each_time(make_stream: MakeStream, scenes: Path) -> None:
    stream = make_stream()
    first, second = ids_of(stream, 0), ids_of(stream, 1)
    everything = pq.read_table(scenes)["image_id"].to_pylist()
    assert sorted(first) == sorted(second) == sorted(everything)
    assert first != second
    # The order follows from seed and epoch alone: that is what a resumed run relies on.
    assert ids_of(make_stream(), 1) == second
    assert ids_of(make_stream(seed=1), 1) != second


def test_epochs_read_together_are_the_same_as_epochs_read_alone(make_stream: MakeStream) -> None:
    together = [
        (epoch, [str(image_id) for batch in batches for image_id in batch["image_id"]])
        for epoch, batches in make_stream().epochs(1, 4)
    ]
    assert together == [(epoch, ids_of(make_stream(), epoch)) for epoch in (1, 2, 3)]


def test_an_epoch_goes_on_after_the_steps_that_were_done(make_stream: MakeStream) -> None:
    def ids(done: int) -> list[tuple[int, list[str]]]:
        return [(epoch, batch["image_id"].tolist()) for epoch, own in make_stream().epochs(1, 3, done) for batch in own]

    assert ids(done=2) == ids(done=0)[2:]
    assert len(ids(done=2)) == 8


def test_rows_of_one_unit_are_spread_over_batches(make_stream: MakeStream) -> None:
    order = ids_of(make_stream(), 0)
    numbers = [int(image_id.rsplit("-", 1)[-1].removeprefix("scenes")) for image_id in order]
    neighbours = sum(abs(left - right) == 1 for left, right in pairwise(numbers))
    assert neighbours < 15


def test_workers_see_disjoint_rows_and_equally_many_batches(make_stream: MakeStream, scenes: Path) -> None:
    shares = [batches_of(make_stream(rank=rank, world=2, batch=4), 0) for rank in range(2)]
    assert [len(batches) for batches in shares] == [5, 5]
    seen = [{str(image_id) for batch in batches for image_id in batch["image_id"]} for batches in shares]
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set(pq.read_table(scenes)["image_id"].to_pylist())


def test_a_batch_holds_what_the_builder_makes(make_stream: MakeStream) -> None:
    batch = batches_of(make_stream(), 0)[0]
    assert batch["pixels"].shape == (8, 3, 16, 16)
    assert batch["pixels"].dtype == np.uint8
    assert batch["token_ids"].shape == batch["decoder_labels"].shape == (8, 1, 12)


@pytest.fixture
def damaged(scenes: Path, tmp_path: Path) -> PairSource:
    """The scenes with two broken images and one row without a caption."""
    table = pq.read_table(scenes).select(["image_id", "image", "captions"])
    rows = table.to_pylist()
    rows[3]["image"], rows[17]["image"], rows[30]["captions"] = b"no picture", None, [" "]
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / "pairs.parquet")
    return open_pairs(str(tmp_path / "pairs.parquet"), unit_rows=4)


def test_bad_rows_are_left_out_and_named(make_stream: MakeStream, damaged: PairSource, scenes: Path) -> None:
    ids = pq.read_table(scenes)["image_id"].to_pylist()
    stream = make_stream(damaged, batch=6)
    seen = ids_of(stream, 0)
    assert set(stream.problems) == {ids[3], ids[17], ids[30]}
    assert all(image_id in reason or reason for image_id, reason in stream.problems.items())
    assert len(seen) == len(set(seen)) == 36
    assert not set(seen) & set(stream.problems)


def test_rows_that_run_out_early_come_again(make_stream: MakeStream, damaged: PairSource) -> None:
    # Forty rows promise five batches of eight, thirty-seven give four: all workers must take equally many steps.
    stream = make_stream(damaged)
    counts = Counter(ids_of(stream, 0))
    assert sum(counts.values()) == 8 * stream.share.steps == 40
    assert max(counts.values()) == 2


def test_too_few_rows_for_a_batch_is_one_clear_error(make_stream: MakeStream) -> None:
    with pytest.raises(DataError, match=r"40 usable image\(s\).*takes 64 a step.*smaller batch"):
        batches_of(make_stream(batch=64), 0)


def test_a_file_that_has_gone_is_named(make_stream: MakeStream, scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "scenes")
    source = open_pairs(str(tmp_path / "scenes"), unit_rows=4)
    shutil.rmtree(tmp_path / "scenes")
    with pytest.raises(DataError, match=str(tmp_path)):
        batches_of(make_stream(source), 0)


def test_reading_that_is_ahead_leaves_the_cores_to_training(
    make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[float] = []

    class Counted(PacedScheduling):
        def on_execution_step(self, executor: StreamingExecutor) -> None:
            super().on_execution_step(executor)
            turns.append(time.perf_counter())

    stream = make_stream()
    batches_of(stream, 0)  # whoever streams examples paces the scheduling
    context = ray.data.DataContext.get_current()
    assert context.custom_execution_callback_classes.count(PacedScheduling) == 1
    monkeypatch.setattr(context, "custom_execution_callback_classes", [Counted, PacedScheduling])
    for _ in batches_of(stream, 1):
        time.sleep(0.05)
    assert len(turns) > 2
    assert all(later - earlier >= STEP_SECONDS for earlier, later in pairwise(turns))
