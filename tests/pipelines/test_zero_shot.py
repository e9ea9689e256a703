"""Zero-shot classification through Ray, on drawn scenes, on a folder of class folders, by several models."""

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lexlip.data.scenes import CONCEPTS_BY_KIND
from lexlip.errors import DataError, ModelError
from lexlip.evaluation.recall import Recall
from lexlip.model.saving import load_model
from pipelines.evaluate import Evaluate, evaluate, evaluate_zero_shot
from pipelines.labelled_pictures import class_names, is_class_folder


@pytest.mark.slow
def test_settings_of_drawn_scenes_by_both_models(
    ray_session: None, tiny_lexlip: Path, tiny_clip: Path, scenes: Path
) -> None:
    templates = ("a scene in the {}", "{}")
    job = Evaluate(tiny_clip, str(scenes), templates=templates, against=tiny_lexlip)
    found = evaluate_zero_shot(job, "scenes:setting")
    assert set(found) == {"model", "against"}
    table = pq.read_table(scenes)
    settings = CONCEPTS_BY_KIND["setting"]
    assert (found["model"].images, found["model"].classes) == (40, len(settings))

    model = load_model(tiny_clip)
    sentences = [[template.format(name) for template in templates] for name in settings]
    classes = np.stack([np.asarray(model.encode_text(texts)).mean(axis=0) for texts in sentences])
    classes /= np.linalg.norm(classes, axis=1, keepdims=True)
    scores = np.asarray(model.encode_image(table["image"].to_pylist())) @ classes.T
    right = [next(settings.index(c) for c in row if c in settings) for row in table["concepts"].to_pylist()]
    ranks = 1 + (scores > scores[np.arange(40), right][:, None]).sum(axis=1)
    assert found["model"].top1 == pytest.approx(Recall.of_ranks(ranks).r1, abs=2.6)
    assert found["model"].top5 == pytest.approx(Recall.of_ranks(ranks).r5, abs=2.6)


def test_a_folder_of_class_folders(ray_session: None, tiny_clip: Path, tmp_path: Path) -> None:
    for label, colour in (("red_ball", "red"), ("sea", "blue")):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(2):
            buffer = io.BytesIO()
            Image.new("RGB", (20, 20), colour).save(buffer, "PNG")
            (tmp_path / "data" / label / f"{number}.png").write_bytes(buffer.getvalue())
    assert is_class_folder(str(tmp_path / "data"))
    job = Evaluate(tiny_clip, str(tmp_path / "data"), vectors=tmp_path / "vectors")
    found = evaluate_zero_shot(job, "labels")["model"]
    assert (found.images, found.classes) == (4, 2)
    # Pictures of a colour are equal, so both of a class are right or both are wrong.
    assert found.top1 in (0.0, 50.0, 100.0)
    (tmp_path / "classes.txt").write_text("submarine\tan old submarine\n")
    with pytest.raises(DataError, match="no picture has one of the 1 classes"):
        evaluate_zero_shot(job, str(tmp_path / "classes.txt"))


def test_classes_from_a_file_from_labels_and_from_scenes(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("n01\tgolden retriever\nred_fox\n\n")
    assert class_names(str(tmp_path / "classes.txt"), []) == {"n01": "golden retriever", "red_fox": "red fox"}
    assert class_names("labels", [["sea_lion"], ["cat", "cat"]]) == {"cat": "cat", "sea_lion": "sea lion"}
    with pytest.raises(DataError, match="have the kinds object, colour"):
        class_names("scenes:weather", [])
    with pytest.raises(DataError, match="no such file"):
        class_names("nowhere.txt", [])


def test_options_of_the_other_task_are_refused(tiny_lexlip: Path) -> None:
    with pytest.raises(ModelError, match="leave out what belongs to retrieval: --query-terms, --captions, --words"):
        evaluate_zero_shot(Evaluate(tiny_lexlip, query_terms=8, captions=True, words=5), "labels")
    for job in (Evaluate(tiny_lexlip, against=tiny_lexlip), Evaluate(tiny_lexlip, templates=("{}",))):
        with pytest.raises(ModelError, match="--against and --templates are for classifying"):
            evaluate(job)
