"""Zero-shot classification of labelled pictures by any of the models."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lexlip.errors import DataError
from lexlip.evaluation.classification import ClassificationEvaluation, classify
from lexlip.model.saving import load_encoder
from pipelines.encoded_pairs import read_column, read_vectors
from pipelines.encoding import ActorSettings, EncodeSettings, encode_corpus
from pipelines.labelled_pictures import class_names, is_class_folder, label_column, write_class_folder
from pipelines.vector_parts import finished_parts


def evaluate_classes(
    models: dict[str, Path],
    data: str,
    classes: str,
    templates: tuple[str, ...],
    folder: Path,
    settings: EncodeSettings,
    actors: ActorSettings | None = None,
) -> dict[str, ClassificationEvaluation]:
    """Classifies the same pictures with each model.

    Args:
        models: name to folder.
        data: pictures with labels: pairs with a column `label`, `labels` or `concepts`, or a folder of class folders.
        classes: see `class_names`. Pictures with none of the classes are left out.
        templates: sentences with {} for the name of a class.
        folder: where vectors go; what is there already is not encoded again.
        settings: how the pictures are encoded.
        actors: the processes that hold the model.

    Raises:
        DataError: no labels, no picture of the classes, or a template without {}.
    """
    without = [template for template in templates if "{}" not in template]
    if without or not templates:
        raise DataError(f"--templates {' '.join(without)!r}: a template needs {{}} where the name of a class goes")
    if is_class_folder(data):
        file = folder / "labelled.parquet"
        data = str(file) if file.is_file() else write_class_folder(data, file)
    return {
        name: _evaluate_one(model, data, classes, templates, folder / name / "images", settings, actors)
        for name, model in models.items()
    }


def _evaluate_one(
    model: Path,
    data: str,
    classes: str,
    templates: tuple[str, ...],
    vectors: Path,
    settings: EncodeSettings,
    actors: ActorSettings | None,
) -> ClassificationEvaluation:
    encode_corpus(model, data, vectors, settings, actors)
    _, images = read_vectors(vectors)
    parts = finished_parts(vectors)
    column = label_column(pq.read_schema(parts[0]).names, data)
    labels = [_as_list(value) for value in read_column(vectors, column)]
    names = class_names(classes, labels)
    numbers = {label: number for number, label in enumerate(names)}
    right = [np.array([numbers[label] for label in row if label in numbers], np.int64) for row in labels]
    kept = [row for row, own in enumerate(right) if len(own)]
    if not kept:
        raise DataError(f"{data}: no picture has one of the {len(names)} classes of --classes {classes}")
    encoder = load_encoder(model)
    sentences = [encoder.encode_text([template.format(name) for template in templates]) for name in names.values()]
    chosen = images[kept] if isinstance(images, np.ndarray) else [images[row] for row in kept]
    return classify(chosen, sentences, [right[row] for row in kept])


def _as_list(value: object) -> list[str]:
    if value is None:
        return []
    return [str(entry) for entry in value] if isinstance(value, list) else [str(value)]


def describe_classes(found: dict[str, ClassificationEvaluation]) -> str:
    """The result as a few lines of text."""
    first = next(iter(found.values()))
    lines = [f"zero-shot classification: {first.images:,} pictures, {first.classes} classes"]
    lines += [f"  {name:10} top-1 {result.top1:6.2f}   top-5 {result.top5:6.2f}" for name, result in found.items()]
    return "\n".join(lines)
