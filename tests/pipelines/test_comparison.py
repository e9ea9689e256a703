"""Evaluation and comparison of two untrained models on the generated scenes, through Ray, index and FAISS."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from ir_measures import Success

from lexlip.data.sources import open_pairs, read_unit
from lexlip.errors import DataError
from lexlip.evaluation.recall import Recall
from lexlip.evaluation.sparse_rows import SparseRows
from lexlip.index import Index
from lexlip.model.saving import load_model
from lexlip.report.results import Comparison
from pipelines.compare_clip import CompareClip, describe_comparison, write_comparison
from pipelines.compared_sides import Rivals
from pipelines.comparison_corpus import Documents, make_corpus
from pipelines.comparison_settings import CompareSettings
from pipelines.encoded_pairs import encode_pairs
from pipelines.encoding import EncodeSettings
from pipelines.evaluate import Evaluate, describe, evaluate
from pipelines.faiss_rivals import faiss_systems

SETTINGS = CompareSettings(
    images=300,
    held_out=0.5,
    document_terms=(4, "all"),
    query_terms=(4, "all"),
    impact_bits=(8,),
    growth=(100,),
    timed_queries=6,
    rounds=2,
    round_seconds=0.05,
    examples=2,
)


@pytest.fixture(scope="module")
def job(
    ray_session: None, tiny_lexlip: Path, tiny_clip: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory
) -> CompareClip:
    out = tmp_path_factory.mktemp("compared") / "report"
    return CompareClip(tiny_lexlip, tiny_clip, str(scenes), out=out, mirrored=True, settings=SETTINGS)


@pytest.fixture(scope="module")
def comparison(job: CompareClip) -> Comparison:
    return write_comparison(job)


def test_the_comparison_is_measured_and_written(job: CompareClip, comparison: Comparison) -> None:
    record = json.loads((job.out / "comparison.json").read_text())
    corpus = record["corpus"]
    assert (corpus["documents"], corpus["answers"], corpus["real"], corpus["drawn"]) == (300, 20, 20, 260)
    assert corpus["queries"] == 100
    names = [system["name"] for system in record["systems"]]
    assert names[:8] == ["lexlip"] * 8
    assert set(names[8:]) == {"faiss-flat", "faiss-fp16", "faiss-sq8", "faiss-hnsw", "faiss-ivfflat", "faiss-ivfpq"}
    assert record["memory_ratio"] == pytest.approx(64 / record["systems"][0]["bytes_per_image"], abs=0.02)
    assert {point["documents"] for point in record["growth"]} == {100, 300}
    assert record["bm25"]["documents"] == 40
    assert record["settings"]["pictures read mirrored too"] == "by both"
    page = (job.out / "comparison.html").read_text()
    assert all(example.text.split()[0] in page for example in comparison.examples)
    assert page.count("data:image/jpeg;base64,") == sum(
        hit.thumbnail is not None for e in comparison.examples for hit in (*e.lexlip, *e.clip)
    )
    assert "bytes/image" in describe_comparison(comparison)


def test_recall_is_that_of_the_float_vectors_and_ir_measures_agrees(job: CompareClip, comparison: Comparison) -> None:
    record = json.loads((job.out / "comparison.json").read_text())
    corpus = make_corpus(_rivals(job), job.settings)
    scores_QN = corpus.questions.dense @ np.asarray(corpus.documents.dense).T
    right = np.array([positions[0] for positions in corpus.questions.right])
    ranks = 1 + (scores_QN > scores_QN[np.arange(len(right)), right][:, None]).sum(axis=1)
    flat = next(system for system in record["systems"] if system["name"] == "faiss-flat")
    assert flat["recall"]["r10"] == pytest.approx(Recall.of_ranks(ranks).r10, abs=1.01)
    for name in ("lexlip", "faiss-flat"):
        measured = ir_measures.calc_aggregate(
            [Success @ 10],
            ir_measures.read_trec_qrels(str(job.out / "runs" / "judgements.qrels")),
            ir_measures.read_trec_run(str(job.out / "runs" / f"{name}.run")),
        )
        ours = next(system for system in record["systems"] if system["name"] == name)
        assert 100 * measured[Success @ 10] == pytest.approx(ours["recall"]["r10"], abs=0.01)


def test_the_same_command_again_measures_and_builds_nothing(
    job: CompareClip, comparison: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    before = json.loads((job.out / "comparison.json").read_text())
    capsys.readouterr()
    write_comparison(job)
    printed = capsys.readouterr().out
    assert "building" not in printed
    assert "all rounds were timed before" in printed
    assert json.loads((job.out / "comparison.json").read_text()) == before


def test_a_lost_index_is_built_again(
    job: CompareClip, comparison: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = next((job.out / "work").glob("corpus-*/faiss-hnsw-*.faiss.built.json"))
    lost.unlink()
    capsys.readouterr()
    write_comparison(job)
    assert capsys.readouterr().out.count("building") == 1


@pytest.mark.slow
def test_pictures_ask_for_captions_among_further_captions(job: CompareClip, scenes: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pq.read_table(scenes, columns=["image_id", "captions"]).to_pylist()
    known = [{"image_id": "other", "caption": rows[0]["captions"][0].upper()}, {"image_id": "other", "caption": "Hm."}]
    fresh = [{"image_id": f"new-{n}", "caption": f"a dog number {n} beside a tree"} for n in range(30)]
    pq.write_table(pa.Table.from_pylist([*known, *fresh]), tmp_path / "texts.parquet")
    settings = replace(
        job.settings, direction="image-to-text", images=0, held_out=0.0, document_terms=("all",), query_terms=("all",),
        growth=(), skip=("fp16", "sq8", "hnsw", "ivfflat", "ivfpq"),
    )  # fmt: skip
    texts = (str(tmp_path / "texts.parquet"),)
    vectors = job.out / "vectors"
    turned = replace(job, texts=texts, vectors=vectors, out=tmp_path / "report", settings=settings)
    comparison = write_comparison(turned)
    # One caption of "other" describes a picture of the corpus, so both are left out.
    assert (comparison.corpus.answers, comparison.corpus.real, comparison.corpus.drawn) == (200, 30, 0)
    assert comparison.corpus.queries == 40
    assert comparison.left_out is not None
    assert set(comparison.left_out) >= {"bm25", "faiss-hnsw"}
    flat = comparison.main("faiss-flat").recall
    exact = comparison.quality["clip"].image_to_text
    assert flat.r10 <= exact.r10 + 0.01


def test_quantised_codes_are_ranked_as_faiss_itself_ranks_them(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    empty = SparseRows(np.zeros(301, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    skip = ("hnsw", "ivfflat", "ivfpq")
    systems, left_out = faiss_systems(
        Documents(tmp_path, empty, vectors, np.ones(8, np.float32)), vectors[:50].copy(), CompareSettings(skip=skip)
    )
    assert set(left_out) == {"faiss-hnsw", "faiss-ivfflat", "faiss-ivfpq"}
    import faiss

    for system in systems:
        if system.name in ("faiss-fp16", "faiss-sq8"):
            index = faiss.read_index(str(tmp_path / f"{system.name}.faiss"))
            np.testing.assert_array_equal(system.hits(), index.search(vectors[:50], 10)[1])


def test_hnsw_that_would_take_too_long_is_left_out_with_the_reason(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
    empty = SparseRows(np.zeros(301, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))
    settings = CompareSettings(skip=("fp16", "sq8", "ivfflat", "ivfpq"), hnsw_minutes=0.0)
    systems, left_out = faiss_systems(
        Documents(tmp_path, empty, vectors, np.ones(8, np.float32)), vectors[:5].copy(), settings
    )
    assert {system.name for system in systems} == {"faiss-flat"}
    assert "--hnsw-minutes allows 0" in left_out["faiss-hnsw"]
    # What was found is kept: with no more time it is not tried again, with more time it is.
    again = faiss_systems(Documents(tmp_path, empty, vectors, np.ones(8, np.float32)), vectors[:5].copy(), settings)[1]
    assert again == left_out
    patient = replace(settings, hnsw_minutes=1.0)
    assert (
        faiss_systems(Documents(tmp_path, empty, vectors, np.ones(8, np.float32)), vectors[:5].copy(), patient)[
            1
        ].keys()
        < left_out.keys()
    )


def test_nothing_to_draw_from_is_one_clear_error(job: CompareClip) -> None:
    with pytest.raises(DataError, match=r"no distractor to draw them from; give --photos or --texts, or --held-out"):
        make_corpus(_rivals(job), replace(job.settings, held_out=0.0))
    with pytest.raises(DataError, match="alone has 40 documents"):
        make_corpus(_rivals(job), replace(job.settings, images=30))


@pytest.mark.slow
def test_image_vectors_of_other_data_are_refused(
    vectors: Path, tiny_lexlip: Path, scenes: Path, tmp_path: Path
) -> None:
    shutil.copytree(vectors, tmp_path / "fewer")
    summary = json.loads((tmp_path / "fewer" / "summary.json").read_text())
    (tmp_path / "fewer" / "summary.json").write_text(json.dumps({**summary, "parts": summary["parts"][:1]}))
    with pytest.raises(DataError, match="has no vector of the image"):
        encode_pairs(
            tiny_lexlip,
            str(scenes),
            tmp_path / "encoded",
            image_settings=EncodeSettings(),
            text_settings=EncodeSettings(top_terms=None),
            image_vectors=tmp_path / "fewer",
        )


def test_evaluate_measures_what_the_model_itself_gives(
    ray_session: None, tiny_lexlip: Path, scenes: Path, tmp_path: Path
) -> None:
    evaluation = evaluate(Evaluate(tiny_lexlip, str(scenes), query_terms=6, captions=True, trec=tmp_path / "trec"))
    model = load_model(tiny_lexlip)
    rows = [row for unit in open_pairs(str(scenes)).units for table in read_unit(unit) for row in table.to_pylist()]
    images = as_matrix(model.encode_image([row["image"] for row in rows]), len(model.vocabulary))
    captions = [caption for row in rows for caption in row["captions"]]
    scores_CI = as_matrix(model.encode_text(captions, top_terms=6), len(model.vocabulary)) @ images.T
    right = scores_CI[np.arange(200), np.repeat(np.arange(40), 5)]
    ranks = 1 + (scores_CI > right[:, None] + 1e-6).sum(axis=1)
    assert evaluation.text_to_image.r10 == pytest.approx(Recall.of_ranks(ranks).r10, abs=1.0)
    assert evaluation.terms is not None
    assert evaluation.terms.text_mean == 6
    assert set(evaluation.to_json()) >= {"text_to_image", "image_to_text", "terms", "fusion"}
    assert evaluation.fusion is not None
    assert evaluation.fusion.shares[0].exact == evaluation.text_to_image, "every picture has five captions"
    assert "captions 1.0   R@1/5/10" in describe("tiny", evaluation)
    for name, recall in (("text-to-image", evaluation.text_to_image), ("image-to-text", evaluation.image_to_text)):
        measured = ir_measures.calc_aggregate(
            [Success @ 1, Success @ 5, Success @ 10],
            ir_measures.read_trec_qrels(str(tmp_path / "trec" / f"{name}.qrels")),
            ir_measures.read_trec_run(str(tmp_path / "trec" / f"{name}.run")),
        )
        theirs = [100 * measured[Success @ cutoff] for cutoff in (1, 5, 10)]
        assert theirs == pytest.approx([recall.r1, recall.r5, recall.r10], abs=0.01)


def test_the_index_of_the_comparison_holds_what_its_corpus_says(job: CompareClip, comparison: Comparison) -> None:
    corpus = make_corpus(_rivals(job), job.settings)
    index = Index.open(corpus.documents.folder / "lexlip-all-8bit")
    assert index.documents == 300
    row = corpus.documents.lexicon.row(250)
    assert index.vector(250).terms.tolist() == row.terms.tolist()


def _rivals(job: CompareClip) -> Rivals:
    return Rivals(job.lexlip, job.clip, job.data, (), (), job.out / "vectors", job.out / "work", job.mirrored)


def as_matrix(vectors: list, terms: int) -> np.ndarray:
    matrix = np.zeros((len(vectors), terms), np.float32)
    for row, vector in enumerate(vectors):
        matrix[row, vector.terms] = vector.weights
    return matrix
