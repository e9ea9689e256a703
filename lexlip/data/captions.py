"""All captions of a data set, without its pictures: for training or restricting a vocabulary."""

from collections.abc import Iterator

import pyarrow.parquet as pq

from lexlip.data.parquet_pairs import ParquetUnit
from lexlip.data.sources import PairSource, read_unit
from lexlip.storage import open_filesystem


def read_captions(source: PairSource) -> Iterator[str]:
    """Every caption with text in it, in the order of the rows; of Parquet files only the captions column is read."""
    read_groups: set[tuple[str, int]] = set()
    for unit in source.units:
        if isinstance(unit, ParquetUnit):
            if (unit.file, unit.row_group) in read_groups:
                continue  # the whole row group was read with its first unit
            read_groups.add((unit.file, unit.row_group))
            filesystem, path = open_filesystem(unit.file)
            with filesystem.open(path) as file:
                columns = list(unit.columns.captions)
                table = pq.ParquetFile(file).read_row_group(unit.row_group, columns=columns)
            rows = [row for column in columns for row in table[column].to_pylist()]
        else:
            rows = [captions for table in read_unit(unit) for captions in table["captions"].to_pylist()]
        for captions in rows:
            for caption in [captions] if isinstance(captions, str) else captions or ():
                if caption and caption.strip():
                    yield caption
