"""The stream of one worker's examples: Ray Data reads, decodes, augments and masks on CPUs; the worker batches.

Which rows a worker sees, and in which order, follows from (seed, phase, epoch, rank, world size) alone. Each worker
therefore builds its own datasets instead of taking splits of a shared one, whose assignment of rows depends on who asks
first; that is what lets a resumed run repeat an uninterrupted one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np
import pyarrow as pa
import ray.data

from lexlip.data.examples import ExampleBuilder
from lexlip.data.sources import PairUnit, read_unit
from lexlip.errors import DataError
from pipelines.paced_scheduling import pace_scheduling

READ_CPUS = 0.5  # whole CPUs beside the training workers would leave Ray Data none, and it would wait forever
UNITS_AT_ONCE = 2
# Starting an execution of Ray Data takes seconds, so one reads as many epochs as make up this many units; each is a
# block that the object store keeps track of, so it does not read more.
UNITS_OF_AN_EXECUTION = 4096
EPOCH = "epoch"
Examples = dict[str, np.ndarray]
Row = dict[str, np.ndarray]  # one of them


@dataclass(frozen=True)
class StreamShare:
    """One worker's share of an epoch.

    Attributes:
        rank, world: which worker of how many.
        batch: images a step of this worker.
        steps: of an epoch, the same for all workers, whatever their number.
        shuffle_rows: rows mixed beyond the order of units.
        seed: of the order, for this run and phase.
    """

    rank: int
    world: int
    batch: int
    steps: int
    shuffle_rows: int
    seed: int


@dataclass(frozen=True)
class UnitReader:
    """Makes the examples of one unit; travels to the tasks of Ray Data."""

    units: tuple[PairUnit, ...]
    builder: ExampleBuilder

    def __call__(self, items: pa.Table) -> Iterator[Examples]:
        """Examples of units, given as columns of their numbers and epochs."""
        for item in items.to_pylist():
            for table in read_unit(self.units[item["number"]]):
                examples = self.builder(table, item[EPOCH])
                yield examples | {EPOCH: np.full(table.num_rows, item[EPOCH])}


class ExampleStream:
    """Batches of one worker, epoch by epoch.

    Args:
        units: of the whole data set.
        builder: makes examples.
        share: this worker's part.

    Attributes:
        problems: bad rows met so far, image id to reason; they are left out of batches.
    """

    def __init__(self, units: tuple[PairUnit, ...], builder: ExampleBuilder, share: StreamShare) -> None:
        self.units, self.builder, self.share = units, builder, share
        self.problems: dict[str, str] = {}

    def epochs(self, first: int, stop: int, done: int = 0) -> Iterator[tuple[int, Iterator[Examples]]]:
        """Epochs `first` to `stop` - 1, each with its `share.steps` batches, the first without those `done` before.

        Small data sets are read on across epochs, so that no epoch waits for its first rows. Examples of the steps
        that were done are made again and left out: which of them are bad shows only then.
        """
        together = max(1, UNITS_OF_AN_EXECUTION // len(self._own_units(first)))
        for start in range(first, stop, together):
            examples = self._examples(range(start, min(stop, start + together)))
            for epoch, own in groupby(examples, key=lambda made: int(made[EPOCH][0])):
                yield epoch, islice(self._batches(epoch, own), done if epoch == first else 0, None)

    def _batches(self, epoch: int, examples: Iterator[Examples]) -> Iterator[Examples]:
        """The batches of one epoch. A worker whose rows run out early, because some are bad, starts its share again."""
        steps = self.share.steps
        rng = np.random.default_rng((self.share.seed, epoch, self.share.rank))
        while steps > 0:
            pool: list[Row] = []
            made = 0
            for part in examples:
                pool.extend(self._good_rows(part))
                while steps > 0 and len(pool) >= self.share.batch + self.share.shuffle_rows:
                    yield self._draw(pool, rng)
                    steps, made = steps - 1, made + 1
            while steps > 0 and len(pool) >= self.share.batch:
                yield self._draw(pool, rng)
                steps, made = steps - 1, made + 1
            if not made:
                raise DataError(
                    f"{len(pool)} usable image(s) for a worker that takes {self.share.batch} a step "
                    f"({len(self.problems)} bad row(s)); use a smaller batch, fewer workers or more data"
                )
            examples = self._examples(range(epoch, epoch + 1))

    def _own_units(self, epoch: int) -> list[int]:
        """Numbers of this worker's units in the order of an epoch."""
        order = np.random.default_rng((self.share.seed, epoch)).permutation(len(self.units)).tolist()
        return order[self.share.rank :: self.share.world] if len(order) >= self.share.world else order

    def _examples(self, epochs: range) -> Iterator[Examples]:
        """Examples of some epochs, one after the other."""
        items = [{"number": number, EPOCH: epoch} for epoch in epochs for number in self._own_units(epoch)]
        ray.data.DataContext.get_current().execution_options.preserve_order = True
        pace_scheduling()
        stream = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            UnitReader(self.units, self.builder),
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=READ_CPUS,
            concurrency=UNITS_AT_ONCE,
        )
        yield from stream.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1)

    def _good_rows(self, examples: Examples) -> Iterator[Row]:
        for row, problem in enumerate(examples["problem"]):
            if problem:
                self.problems[str(examples["image_id"][row])] = str(problem)
            else:
                # Copies: a view would keep the rows of its whole unit in memory while one of them waits in the pool.
                yield {name: np.array(values[row]) for name, values in examples.items()}

    def _draw(self, pool: list[Row], rng: np.random.Generator) -> Examples:
        """Takes a random batch out of the pool."""
        chosen = rng.permutation(len(pool))[: self.share.batch]
        rows = [pool[place] for place in chosen]
        for place in sorted(chosen, reverse=True):
            pool[place] = pool[-1]
            pool.pop()
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}
