"""What runs on the cluster while encoding: CPU tasks prepare units, model actors turn them into finished parts.

A unit travels as one row holding one block of bytes, so it is never cut or merged on its way: a part is always whole.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from lexlip.data.sources import PairUnit
from lexlip.model.saving import load_model
from pipelines.corpus_sides import CorpusSide, PreparedUnit, Vectors
from pipelines.vector_parts import EncodingRecord, PartReport, write_part


@dataclass(frozen=True)
class UnitPreparer:
    """A function over rows with a `number`: reads and prepares the unit of that number."""

    side: CorpusSide
    units: tuple[PairUnit, ...]

    def __call__(self, rows: pa.Table) -> pa.Table:
        """One prepared unit per row."""
        numbers = rows["number"].to_pylist()
        prepared = [self.side.prepare(self.units[number]) for number in numbers]
        return pa.table(
            {
                "number": numbers,
                "fields": pa.array([_table_bytes(unit.fields) for unit in prepared], pa.large_binary()),
                "pixels": pa.array([unit.pixels.tobytes() for unit in prepared], pa.large_binary()),
                "shape": pa.array([list(unit.pixels.shape) for unit in prepared], pa.list_(pa.int64())),
                "dropped": [PartReport(0, unit.dropped, 0.0).to_json() for unit in prepared],
            }
        )


class UnitEncoder:
    """An actor: holds the model, encodes prepared units and writes their parts."""

    def __init__(
        self, model: str, side: CorpusSide, record: EncodingRecord, parts: list[str], device: str, threads: int
    ) -> None:
        # Ray gives an actor as many threads as it reserves whole CPUs; the job knows how many are really free.
        torch.set_num_threads(threads)
        self.model = load_model(model, device=device)
        self.side, self.parts = side, parts
        self.dense = record.kind == "clip"
        self.options = {} if self.dense else {"top_terms": record.top_terms}

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Writes the part of each row and returns what became of it."""
        reports = [self.encode(rows.slice(row, 1)).to_json() for row in range(len(rows))]
        return pa.table({"number": rows["number"], "report": reports})

    def encode(self, row: pa.Table) -> PartReport:
        """Encodes one prepared unit: vector columns, then the stored fields."""
        number, prepared = row["number"][0].as_py(), _unpack(row)
        vectors = self.side.encode(self.model, prepared, **self.options) if len(prepared.fields) else []
        columns, maximum = _dense_columns(vectors) if self.dense else _lexicon_columns(vectors)
        columns = {"id": prepared.fields["id"], **columns}
        columns.update({name: prepared.fields[name] for name in prepared.fields.column_names if name != "id"})
        report = PartReport(len(prepared.fields), prepared.dropped, maximum)
        write_part(Path(self.parts[number]), pa.table(columns), report)
        return report


def _dense_columns(vectors: Vectors) -> tuple[dict[str, pa.Array], float]:
    return {"vector": pa.array(list(vectors), pa.list_(pa.float32()))}, 0.0


def _lexicon_columns(vectors: Vectors) -> tuple[dict[str, pa.Array], float]:
    terms = pa.array([vector.terms for vector in vectors], pa.list_(pa.int32()))
    weights = pa.array([vector.weights for vector in vectors], pa.list_(pa.float32()))
    maximum = max((float(vector.weights.max(initial=0.0)) for vector in vectors), default=0.0)
    return {"terms": terms, "weights": weights}, maximum


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _unpack(row: pa.Table) -> PreparedUnit:
    fields = pa.ipc.open_stream(row["fields"][0].as_buffer()).read_all()
    pixels = np.frombuffer(row["pixels"][0].as_buffer(), np.uint8).reshape(row["shape"][0].as_py())
    return PreparedUnit(fields, pixels, PartReport.from_json(row["dropped"][0].as_py()).dropped)
