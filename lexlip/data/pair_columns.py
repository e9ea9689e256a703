"""Which columns of somebody's table are a Pair, and their conversion: for Parquet and Arrow files alike."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lexlip.data.locations import Location
from lexlip.errors import DataError
from lexlip.tables import PAIR_SCHEMA

# Usual names, in order of preference: ours, those of img2dataset and WebDataset, those common on the Hugging Face Hub.
IMAGE_NAMES = ("image", "jpg", "jpeg", "png", "webp", "img")
CAPTION_NAMES = ("captions", "caption", "text", "txt", "sentences", "title")
ID_NAMES = ("image_id", "id", "key", "__key__", "img_id", "filename", "file_name")


@dataclass(frozen=True)
class PairColumns:
    """Where in a table the parts of a Pair are.

    Attributes:
        image: bytes, or a struct {bytes, path}.
        captions: columns of strings or of lists of strings; their captions are put together. Empty: no captions.
        image_id: any type that becomes a string; None numbers the rows of a file, `<folder>/<file>:<row>`.
    """

    image: str
    captions: tuple[str, ...]
    image_id: str | None

    @classmethod
    def choose(cls, schema: pa.Schema, location: Location, captions_required: bool, name: str) -> "PairColumns":
        """The columns that the location names, else those with a usual name.

        Args:
            schema: of the file.
            location: with the user's options.
            captions_required: whether a table without captions is refused.
            name: of the file, for messages.

        Raises:
            DataError: a column is not there, or not of a type that can be read.
        """
        image = location.image or _first(IMAGE_NAMES, schema) or "image"
        found = _first(CAPTION_NAMES, schema) or ("captions" if captions_required else None)
        captions = location.captions or ((found,) if found else ())
        wanted = [image, *captions]
        wanted += [location.image_id] if location.image_id else []
        missing = [column for column in wanted if column not in schema.names]
        if missing:
            raise DataError(
                f"{name}: column(s) {', '.join(missing)} missing; found {', '.join(schema.names) or 'none'}. Say which "
                "they are behind the location: #image=COLUMN&captions=COLUMN,COLUMN&image_id=COLUMN"
            )
        columns = cls(image, captions, location.image_id or _first(ID_NAMES, schema))
        columns._check_types(schema, name)
        return columns

    def _check_types(self, schema: pa.Schema, name: str) -> None:
        image = schema.field(self.image).type
        if not (_is_binary(image) or (pa.types.is_struct(image) and _is_binary(_member(image, "bytes")))):
            raise DataError(f"{name}: column {self.image} must hold bytes or a struct {{bytes, path}}, not {image}")
        for column in self.captions:
            captions = schema.field(column).type
            text = captions.value_type if _is_list(captions) else captions
            if not (pa.types.is_string(text) or pa.types.is_large_string(text) or pa.types.is_null(text)):
                raise DataError(f"{name}: column {column} must hold lists of strings or strings, not {captions}")

    def as_pairs(self, table: pa.Table, file: str, first_row: int) -> pa.Table:
        """The columns of a Pair first and in their types, then the others as they are.

        Args:
            table: consecutive rows of the file.
            file: their file.
            first_row: the number of the first of them in the file.

        Raises:
            DataError: values that do not fit.
        """
        image = table[self.image]
        if pa.types.is_struct(image.type):
            image = pc.struct_field(image, "bytes")
        columns = {"image_id": self._ids(table, file, first_row), "image": image, "captions": self._captions(table)}
        try:
            columns = {field.name: columns[field.name].cast(field.type) for field in PAIR_SCHEMA}
        except pa.ArrowException as error:
            raise DataError(f"{file}: the columns do not hold pairs ({error})") from error
        used = {self.image, *self.captions, self.image_id, *PAIR_SCHEMA.names}
        columns.update({other: table[other] for other in table.schema.names if other not in used})
        return pa.table(columns)

    def _ids(self, table: pa.Table, file: str, first_row: int) -> pa.Array | pa.ChunkedArray:
        if self.image_id is not None:
            return table[self.image_id]
        path = PurePosixPath(file)
        return pa.array([f"{path.parent.name}/{path.stem}:{first_row + row}" for row in range(table.num_rows)])

    def _captions(self, table: pa.Table) -> pa.Array | pa.ChunkedArray:
        if len(self.captions) == 1 and _is_list(table[self.captions[0]].type):
            return table[self.captions[0]]
        rows: list[list[str | None]] = [[] for _ in range(table.num_rows)]
        for column in self.captions:
            for row, value in zip(rows, table[column].to_pylist(), strict=True):
                row += value if isinstance(value, list) else [value]
        return pa.array(rows, pa.list_(pa.string()))


def cut_batches(batch: pa.RecordBatch, position: int, first_row: int, rows: int, most: int) -> list[pa.Table]:
    """The part of a record batch that lies in rows [first_row, first_row + rows), in tables of at most `most` rows.

    Args:
        batch: some rows.
        position: the number of its first row.
        first_row, rows: what is wanted.
        most: rows of a table.
    """
    first, last = max(first_row - position, 0), min(first_row + rows - position, batch.num_rows)
    return [
        pa.Table.from_batches([batch.slice(start, min(most, last - start))])
        for start in np.arange(first, last, most).tolist()
    ]


def _first(names: tuple[str, ...], schema: pa.Schema) -> str | None:
    return next((name for name in names if name in schema.names), None)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_binary(kind: pa.DataType | None) -> bool:
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _member(struct: pa.StructType, name: str) -> pa.DataType | None:
    position = struct.get_field_index(name)
    return struct.field(position).type if position >= 0 else None
