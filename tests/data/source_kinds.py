"""Writes the same few drawn scenes in every form that `open_pairs` reads, as the tools that make these forms do."""

import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class Example:
    """One pair to be written.

    Attributes:
        name: stem of the image file.
        image: JPEG.
        captions: at least one.
    """

    name: str
    image: bytes
    captions: list[str]


def write_image_files(folder: Path, examples: Iterable[Example]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for example in examples:
        (folder / f"{example.name}.jpg").write_bytes(example.image)
    return folder


def hugging_face_parquet(folder: Path, examples: list[Example]) -> str:
    """As `push_to_hub` leaves a dataset: pictures in a struct, no ids."""
    table = pa.table(
        {
            "image": [{"bytes": example.image, "path": f"{example.name}.jpg"} for example in examples],
            "caption": [example.captions for example in examples],
        }
    )
    (folder / "data").mkdir(parents=True)
    pq.write_table(table, folder / "data" / "train-00000-of-00001.parquet", row_group_size=3)
    return str(folder)


def hugging_face_saved(folder: Path, examples: list[Example]) -> str:
    """As `Dataset.save_to_disk` leaves one."""
    folder.mkdir(parents=True)
    rows = [
        {"image": {"bytes": example.image, "path": None}, "sentences": example.captions, "filename": example.name}
        for example in examples
    ]
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(folder / "data-00000-of-00001.arrow", table.schema) as stream:
        stream.write_table(table, max_chunksize=3)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text("{}")
    return str(folder)


def webdataset_tar(folder: Path, examples: list[Example]) -> str:
    """With all captions of an image in its JSON."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "shard-000000.tar", "w") as archive:
        for example in examples:
            add_member(archive, f"{example.name}.jpg", example.image)
            add_member(archive, f"{example.name}.json", json.dumps({"captions": example.captions}).encode())
    return f"{folder}/shard-*.tar"


def img2dataset_tars(folder: Path, examples: list[Example]) -> str:
    """img2dataset with --output_format webdataset: beside each tar its record and its statistics."""
    folder.mkdir(parents=True)
    with tarfile.open(folder / "00000.tar", "w") as archive:
        for example in examples:
            record = {"caption": example.captions[0], "url": f"https://example.org/{example.name}", "status": "success"}
            add_member(archive, f"{example.name}.jpg", example.image)
            add_member(archive, f"{example.name}.json", json.dumps(record).encode())
            add_member(archive, f"{example.name}.txt", example.captions[0].encode())
    (folder / "00000_stats.json").write_text(json.dumps({"successes": len(examples)}))
    pq.write_table(pa.table({"url": ["x"], "key": ["1"]}), folder / "00000.parquet")
    return str(folder)


def img2dataset_files(folder: Path, examples: list[Example]) -> str:
    """img2dataset with --output_format files."""
    write_image_files(folder / "00000", examples)
    for example in examples:
        (folder / "00000" / f"{example.name}.txt").write_text(example.captions[0])
        record = {"caption": example.captions[0], "url": f"https://example.org/{example.name}"}
        (folder / "00000" / f"{example.name}.json").write_text(json.dumps(record))
    pq.write_table(pa.table({"url": ["x"], "key": ["1"]}), folder / "00000.parquet")
    (folder / "00000_stats.json").write_text(json.dumps({"successes": len(examples)}))
    return str(folder)


def img2dataset_parquet(folder: Path, examples: list[Example]) -> str:
    """img2dataset with --output_format parquet."""
    folder.mkdir(parents=True)
    table = pa.table(
        {
            "url": [f"https://example.org/{example.name}" for example in examples],
            "key": [example.name for example in examples],
            "caption": [example.captions[0] for example in examples],
            "jpg": pa.array([example.image for example in examples], pa.binary()),
        }
    )
    pq.write_table(table, folder / "00000.parquet")
    return str(folder)


def coco_captions(folder: Path, examples: list[Example]) -> str:
    """COCO's folders: annotations/captions_val2017.json and val2017/."""
    write_image_files(folder / "val2017", examples)
    (folder / "annotations").mkdir()
    content = {
        "images": [{"id": 10 + at, "file_name": f"{example.name}.jpg"} for at, example in enumerate(examples)],
        "annotations": [
            {"image_id": 10 + at, "id": at, "caption": caption}
            for at, example in enumerate(examples)
            for caption in example.captions
        ],
    }
    (folder / "annotations" / "captions_val2017.json").write_text(json.dumps(content))
    return f"{folder}/annotations/captions_val2017.json"


def karpathy_json(folder: Path, examples: list[Example]) -> str:
    """Karpathy's file for COCO names a folder with each image, and a split."""
    write_image_files(folder / "val2014", examples)
    images = [
        {
            "filepath": "val2014",
            "filename": f"{example.name}.jpg",
            "split": ("train", "restval", "val", "test")[at % 4],
            "sentences": [{"raw": caption, "tokens": caption.split()} for caption in example.captions],
        }
        for at, example in enumerate(examples)
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": images}))
    return f"{folder}/dataset_coco.json"


def published_tsv(folder: Path, examples: list[Example]) -> str:
    """One line a caption."""
    write_image_files(folder / "pictures", examples)
    lines = ["title\tfilepath\timage_id"]
    lines += [f"{text}\t{one.name}.jpg\t{one.name}" for one in examples for text in one.captions]
    (folder / "train.tsv").write_text("\n".join(lines) + "\n")
    return f"{folder}/train.tsv#images=pictures"


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


WITH_ALL_CAPTIONS: dict[str, Callable[[Path, list[Example]], Any]] = {
    "Parquet of the Hugging Face Hub": hugging_face_parquet,
    "Arrow of save_to_disk": hugging_face_saved,
    "WebDataset": webdataset_tar,
    "COCO captions": coco_captions,
    "Karpathy": karpathy_json,
    "published TSV": published_tsv,
}
WITH_ONE_CAPTION: dict[str, Callable[[Path, list[Example]], Any]] = {
    "img2dataset tars": img2dataset_tars,
    "img2dataset files": img2dataset_files,
    "img2dataset Parquet": img2dataset_parquet,
}
