"""The examples run, on drawn scenes and a tiny model."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

from lexlip.errors import DataError, ModelError
from lexlip.index import Index, delete_documents

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def photos(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures in two folders, one file that is none, and one of another kind."""
    folder = tmp_path_factory.mktemp("photos")
    for at, image in enumerate(pq.read_table(scenes, columns=["image"])["image"].to_pylist()[:6]):
        file = folder / ("a" if at % 2 else "b") / f"{at}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(image)
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not looked at")
    return folder


@pytest.fixture(scope="module")
def searched(photos: Path, tiny_lexlip: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list]:
    """Runs the first example; all calls share one index."""
    example = load("search_your_photos")
    index = tmp_path_factory.mktemp("index") / "mine"

    def run(query: str, **changes: object) -> list:
        places = {"photos": photos, "model": tiny_lexlip, "index": index, **changes}
        return example.main(example.Settings(query=query, **places))

    run.index = index
    return run


def test_search_your_photos(searched: Callable, tiny_lexlip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lexlip.model.lexlip import LexLIP

    found = searched("a red boat", k=3)
    assert "left out:" in capsys.readouterr().out
    index, model = Index.open(searched.index), LexLIP.from_pretrained(tiny_lexlip)
    assert sorted(stored["id"] for stored in index.stored(range(6))) == [
        "a/1.jpg",
        "a/3.jpg",
        "a/5.jpg",
        "b/0.jpg",
        "b/2.jpg",
        "b/4.jpg",
    ]
    (query,) = model.encode_text(["a red boat"], top_terms=32)
    hits = index.search(query.terms, query.weights, 3)
    assert [name for name, _ in found] == [stored["id"] for stored in index.stored(hits.positions.tolist())]
    assert searched("a red boat", k=3) == found  # from the index that is there
    assert "encoded" not in capsys.readouterr().out


def test_a_folder_without_photos_is_refused(searched: Callable, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no photos there"):
        searched("x", photos=tmp_path / "empty", index=tmp_path / "index")


def test_the_index_behind_your_service(searched: Callable, tiny_lexlip: Path, tiny_clip: Path) -> None:
    from fastapi.testclient import TestClient

    expected = searched("two small cats", k=4)
    example = load("index_behind_your_service")
    finder = example.PhotoFinder(searched.index, tiny_lexlip)
    with TestClient(example.make_app(finder)) as client:
        answer = client.get("/find", params={"q": "two small cats", "k": 4}).json()
        assert [hit["id"] for hit in answer["hits"]] == [name for name, _ in expected]
        for hit, (_, score) in zip(answer["hits"], expected, strict=True):
            assert hit["score"] == pytest.approx(score)
            assert sum(hit["words"].values()) == pytest.approx(score, rel=1e-4)
        assert client.get("/find").status_code == 422
        assert client.get("/find", params={"q": "x", "k": 0}).status_code == 422
        delete_documents(searched.index, [expected[0][0]])
        later = client.get("/find", params={"q": "two small cats", "k": 4}).json()
        assert later["generation"] == answer["generation"] + 1
        assert expected[0][0] not in [hit["id"] for hit in later["hits"]]
    with pytest.raises(ModelError):
        example.PhotoFinder(searched.index, tiny_clip)


@pytest.mark.slow
def test_train_on_your_captions(ray_session: None, scenes: Path, tmp_path: Path) -> None:
    example = load("train_on_your_captions")
    settings = example.Settings(data=str(scenes), out=tmp_path / "mine", pixels=32, epochs=1, val_share=0.3)
    recall = example.main(settings)
    assert recall.images + pq.read_table(tmp_path / "mine" / "pairs" / "train").num_rows == 40
    assert 0 <= recall.text_to_image.r1 <= recall.text_to_image.r10 <= 100
    assert (tmp_path / "mine" / "model" / "config.json").is_file()


def test_the_run_of_the_example_can_be_made(tmp_path: Path) -> None:
    example = load("train_on_your_captions")
    run = example.my_run(example.Settings(data="x", out=tmp_path, pixels=96, epochs=3))
    assert [(phase.name, phase.epochs, phase.image_size) for phase in run.phases] == [
        ("words", 3, 96),
        ("bottleneck", 1, 96),
    ]
