"""A folder of encoded vectors: one Parquet part per unit of the corpus, so that an interrupted job can go on.

    encoding.json                what made the parts; another model or other settings are refused
    part-00000-3f2a9c1b.parquet  vectors and stored fields of one unit; appears whole or not at all
    summary.json                 counts and the dropped rows, written when all parts are there

The folder is a local one or behind a URL. A part carries the rows it dropped and its largest weight in its Parquet
metadata, so that a resumed job knows them.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.data.sources import PairUnit
from lexlip.errors import DataError
from lexlip.storage import Location, arrow_source, open_filesystem, reaching, whole_file

RECORD_FILE, SUMMARY_FILE = "encoding.json", "summary.json"
METADATA_KEY = b"lexlip.part"
FORMAT_VERSION = 2  # of the first, lexicon vectors have unit length
STATE_DETAILS = ("size", "mtime", "LastModified", "ETag")  # what filesystems call the signs of a changed file
PARTS = "part-*.parquet"
REPORTS_AT_ONCE = 16  # footers read in parallel; behind a URL the wait is for the network


AnyLocation = TypeVar("AnyLocation", bound=Location)  # what is in a folder is where the folder is


@dataclass(frozen=True)
class DroppedRow:
    """A row of the corpus that could not be encoded."""

    id: str
    reason: str


@dataclass(frozen=True)
class PartReport:
    """What became of one unit.

    Attributes:
        documents: vectors in the part.
        dropped: rows without a vector.
        maximum_weight: the largest weight of a lexicon vector in it; 0 for dense vectors.
    """

    documents: int
    dropped: tuple[DroppedRow, ...]
    maximum_weight: float

    def to_json(self) -> str:
        """One line of JSON, kept in the metadata of the part."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "PartReport":
        """The inverse of `to_json`."""
        record = json.loads(text)
        return cls(**{**record, "dropped": tuple(DroppedRow(**row) for row in record["dropped"])})


@dataclass(frozen=True)
class EncodingRecord:
    """What made a folder of vectors, as kept in `encoding.json`. Parts with another record do not mix.

    Attributes:
        kind: "lexlip" (lexicon vectors) or "clip" (dense vectors).
        model_fingerprint, vocabulary_fingerprint, vocabulary_terms: of the model.
        side: "image" or "text".
        top_terms: terms kept per vector; None keeps all.
        thumbnail_pixels: longest side of the stored thumbnails; 0 stores none.
        part_rows: most rows of the corpus in one part.
        mirrored: whether pictures were read mirrored too.
    """

    kind: str
    model_fingerprint: str
    vocabulary_fingerprint: str
    vocabulary_terms: int
    side: str
    top_terms: int | None
    thumbnail_pixels: int
    part_rows: int
    format_version: int = FORMAT_VERSION
    mirrored: bool = False

    @classmethod
    def load(cls, folder: Location) -> "EncodingRecord":
        """Reads the record of a folder of vectors.

        Raises:
            DataError: there is none, or it is not readable.
        """
        file = folder / RECORD_FILE
        if not file.is_file():
            raise DataError(f"{folder}: no vectors there ({RECORD_FILE} is missing); pipelines/encode.py makes them")
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise DataError(f"{file}: not a readable record of vectors ({error})") from error


def claim(folder: Location, record: EncodingRecord) -> None:
    """Makes the folder belong to these settings, or checks that it already does.

    Raises:
        DataError: its vectors were made by another model or with other settings; the message names them.
    """
    if not (folder / RECORD_FILE).is_file():
        if any(folder.glob(PARTS)):
            raise DataError(f"{folder}: has vector parts but no {RECORD_FILE}; give another folder")
        write_json(folder / RECORD_FILE, dataclasses.asdict(record))
        return
    present = dataclasses.asdict(EncodingRecord.load(folder))
    wanted = dataclasses.asdict(record)
    different = [f"{name} {present[name]} (now {wanted[name]})" for name in wanted if present[name] != wanted[name]]
    if different:
        raise DataError(f"{folder}: holds vectors made with {', '.join(different)}; give another folder, or remove it")


def part_files(folder: AnyLocation, units: Sequence[PairUnit]) -> list[AnyLocation]:
    """The part of every unit, whether it exists yet or not, in the order of the units.

    Raises:
        DataError: the folder holds parts of units that are not among these.
    """
    states = {file: _file_state(file) for file in sorted({unit.file for unit in units})}
    keys = [unit_key(unit, states[unit.file]) for unit in units]
    files = [cast(AnyLocation, folder / f"part-{number:05d}-{key}.parquet") for number, key in enumerate(keys)]
    foreign = sorted(finished_files(folder) - set(files), key=str)
    if foreign:
        raise DataError(
            f"{folder}: {len(foreign)} vector part(s) such as {foreign[0].name} belong to other data, or to data that "
            "has changed since; give another folder, or remove it"
        )
    return files


def finished_files(folder: Location) -> set[Location]:
    """The parts that a folder has, of whatever data."""
    return set(folder.glob(PARTS))


def unit_key(unit: PairUnit, file_state: str) -> str:
    """Eight hexadecimal digits that change with the unit, and with the size and time of change of its file."""
    return hashlib.sha256(f"{unit!r}\n{file_state}".encode()).hexdigest()[:8]


def _file_state(file: str) -> str:
    with reaching(file):
        filesystem, path = open_filesystem(file)
        details = filesystem.info(path)
    return " ".join(f"{name}={details[name]}" for name in STATE_DETAILS if name in details)


def write_part(file: Location, table: pa.Table, report: PartReport) -> None:
    """Writes a part, which appears whole."""
    with whole_file(file) as temporary:
        pq.write_table(table.replace_schema_metadata({METADATA_KEY: report.to_json()}), temporary, compression="zstd")


def read_reports(files: Sequence[Location]) -> list[PartReport]:
    """What finished parts say about themselves, see `read_report`."""
    with ThreadPoolExecutor(REPORTS_AT_ONCE) as pool:
        return list(pool.map(read_report, files))


def read_report(file: Location) -> PartReport:
    """What a finished part says about itself.

    Raises:
        DataError: the file is not a part.
    """
    try:
        with reaching(file):
            metadata = pq.read_schema(arrow_source(file)).metadata or {}
        return PartReport.from_json(metadata[METADATA_KEY].decode())
    except (pa.ArrowInvalid, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{file}: not a whole vector part ({error}); remove it and run the same command again"
        ) from error


def finished_parts(folder: AnyLocation) -> list[AnyLocation]:
    """The parts of a folder in order; for readers of vectors.

    Raises:
        DataError: encoding into this folder has not ended.
    """
    EncodingRecord.load(folder)
    if not (folder / SUMMARY_FILE).is_file():
        raise DataError(
            f"{folder}: encoding has not ended ({SUMMARY_FILE} is missing); run the same encode command again"
        )
    names = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))["parts"]
    return [cast(AnyLocation, folder / name) for name in names]


def write_json(file: Location, record: dict) -> None:
    """Writes JSON; the file appears whole."""
    write_text(file, json.dumps(record, indent=2) + "\n")


def write_text(file: Location, text: str) -> None:
    """Writes text; the file appears whole."""
    with whole_file(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
