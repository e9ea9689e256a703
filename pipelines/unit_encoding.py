"""The model half of encoding: actors hold the model and turn prepared units into finished parts."""

import numpy as np
import pyarrow as pa
import torch

from lexlip.model.saving import load_encoder
from pipelines.corpus_sides import Vectors
from pipelines.unit_preparing import PartWork, unpack
from pipelines.vector_parts import PartReport, write_part


class UnitEncoder:
    """An actor over rows with a `number` and a prepared unit.

    Args:
        model: folder of the model.
        works: what the numbers stand for.
        device: "cpu" or "cuda".
        threads: threads of tensor operations. Ray gives an actor as many as it reserves whole CPUs; the job knows how
            many are really free.
    """

    def __init__(self, model: str, works: tuple[PartWork, ...], device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model = load_encoder(model, device=device)
        self.works = works

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Writes the part of each row and returns what became of it."""
        reports = [self.encode(rows.slice(row, 1)).to_json() for row in range(len(rows))]
        return pa.table({"number": rows["number"], "report": reports})

    def encode(self, row: pa.Table) -> PartReport:
        """Encodes one prepared unit into a part: id, the vector columns, then the stored fields."""
        work, prepared = self.works[row["number"][0].as_py()], unpack(row)
        options = {"top_terms": work.top_terms} if self.model.kind == "lexlip" else {}
        vectors = work.side.encode(self.model, prepared, **options) if len(prepared.fields) else []
        vector_columns, maximum = _dense_columns(vectors) if self.model.kind == "clip" else _lexicon_columns(vectors)
        columns = {"id": prepared.fields["id"], **vector_columns}
        columns.update({name: prepared.fields[name] for name in prepared.fields.column_names if name != "id"})
        report = PartReport(len(prepared.fields), prepared.dropped, maximum)
        write_part(work.file, pa.table(columns), report)
        return report


def _dense_columns(vectors: Vectors) -> tuple[dict[str, pa.Array], float]:
    return {"vector": pa.array([np.asarray(vector) for vector in vectors], pa.list_(pa.float32()))}, 0.0


def _lexicon_columns(vectors: Vectors) -> tuple[dict[str, pa.Array], float]:
    terms = pa.array([vector.terms for vector in vectors], pa.list_(pa.int32()))
    weights = pa.array([vector.weights for vector in vectors], pa.list_(pa.float32()))
    maximum = max((float(vector.weights.max(initial=0.0)) for vector in vectors), default=0.0)
    return {"terms": terms, "weights": weights}, maximum
