"""The CPU half of encoding: tasks read a unit of the corpus and make it ready for the model. Knows no torch.

A prepared unit travels as one row holding one block of bytes, so it is never cut or merged on its way: a part is whole.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lexlip.data.sources import PairUnit
from lexlip.storage import Location
from pipelines.corpus_sides import CorpusSide, PreparedUnit
from pipelines.vector_parts import PartReport


@dataclass(frozen=True)
class PartWork:
    """One part to be made.

    Attributes:
        unit: what of the corpus goes into it.
        side: pictures or captions.
        top_terms: terms kept per vector; None keeps all.
        file: where it appears.
    """

    unit: PairUnit
    side: CorpusSide
    top_terms: int | None
    file: Location


@dataclass(frozen=True)
class UnitPreparer:
    """A function over rows with a `number`: reads and prepares the unit of the work with that number."""

    works: tuple[PartWork, ...]

    def __call__(self, rows: pa.Table) -> pa.Table:
        """One prepared unit per row."""
        works = [self.works[number] for number in rows["number"].to_pylist()]
        prepared = [work.side.prepare(work.unit) for work in works]
        return pa.table(
            {
                "number": rows["number"],
                "fields": pa.array([_table_bytes(unit.fields) for unit in prepared], pa.large_binary()),
                "pixels": pa.array([unit.pixels.tobytes() for unit in prepared], pa.large_binary()),
                "shape": pa.array([list(unit.pixels.shape) for unit in prepared], pa.list_(pa.int64())),
                "dropped": [PartReport(0, unit.dropped, 0.0).to_json() for unit in prepared],
            }
        )


def unpack(row: pa.Table) -> PreparedUnit:
    """The prepared unit of a table of one row; its pixels are a read-only view."""
    fields = pa.ipc.open_stream(row["fields"][0].as_buffer()).read_all()
    pixels = np.frombuffer(row["pixels"][0].as_buffer(), np.uint8).reshape(row["shape"][0].as_py())
    return PreparedUnit(fields, pixels, PartReport.from_json(row["dropped"][0].as_py()).dropped)


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
