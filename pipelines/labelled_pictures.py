"""Pictures with labels: a column of any pairs, or a folder with one folder of pictures for each class."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lexlip.data.locations import METADATA_FILES
from lexlip.data.scenes import CONCEPTS_BY_KIND
from lexlip.errors import DataError

LABEL_COLUMNS = ("label", "labels", "concepts")
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
ALL_LABELS = "labels"
SCENE_PREFIX = "scenes:"
ROW_GROUP_ROWS = 64
SCHEMA = pa.schema([("image_id", pa.string()), ("image", pa.binary()), ("label", pa.string())])


def is_class_folder(location: str) -> bool:
    """Whether a location is a local folder with folders of pictures and nothing that names captions."""
    folder = Path(location)
    if not folder.is_dir() or any((folder / name).is_file() for name in METADATA_FILES):
        return False
    return next(folder.rglob("*.parquet"), None) is None and next(_pictures(folder), None) is not None


def write_class_folder(location: str, file: Path) -> str:
    """Writes the pictures of a class folder as Parquet with a column `label`; returns its path."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".tmp")
    folder = Path(location)
    with pq.ParquetWriter(temporary, SCHEMA) as writer:
        rows: list[dict] = []
        for picture in _pictures(folder):
            name = picture.relative_to(folder)
            rows.append({"image_id": str(name), "image": picture.read_bytes(), "label": name.parts[0]})
            if len(rows) == ROW_GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
    temporary.replace(file)
    return str(file)


def _pictures(folder: Path) -> Iterator[Path]:
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        yield from sorted(path for path in inner.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)


def label_column(columns: list[str], where: str) -> str:
    """The column that holds labels.

    Raises:
        DataError: there is none.
    """
    found = next((name for name in LABEL_COLUMNS if name in columns), None)
    if found is None:
        raise DataError(f"{where}: no column {', '.join(LABEL_COLUMNS)}; found {', '.join(columns)}")
    return found


def class_names(classes: str, labels: list[list[str]]) -> dict[str, str]:
    """Label in the data to the words that stand for it in sentences.

    Args:
        classes: "labels" for all labels of the data, "scenes:object" and the like for one kind of concepts of the drawn
            scenes, or a text file with a label a line, followed by a tab and other words where the label is not a word.
        labels: of every picture.

    Raises:
        DataError: an unknown kind, no such file, or nothing in it.
    """
    if classes == ALL_LABELS:
        every = sorted({label for row in labels for label in row})
        return {label: label.replace("_", " ") for label in every}
    if classes.startswith(SCENE_PREFIX):
        kind = classes.removeprefix(SCENE_PREFIX)
        if kind not in CONCEPTS_BY_KIND:
            raise DataError(f"--classes {classes}: drawn scenes have the kinds {', '.join(CONCEPTS_BY_KIND)}")
        return {label: label for label in CONCEPTS_BY_KIND[kind]}
    file = Path(classes)
    if not file.is_file():
        raise DataError(f"--classes {classes}: no such file; give a text file, {ALL_LABELS!r}, or scenes:KIND")
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise DataError(f"--classes {classes}: the file names no class")
    names = {}
    for line in lines:
        label, _, words = line.partition("\t")
        names[label] = words.strip() or label.replace("_", " ")
    return names
