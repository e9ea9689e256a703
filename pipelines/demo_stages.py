"""The stages of the demo, each a call of the pipeline that a user would call."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pyarrow.parquet as pq
import tyro

from lexlip.data.sources import open_pairs
from lexlip.evaluation.retrieval import RetrievalEvaluation
from lexlip.training import runs
from lexlip.training.run import Run
from lexlip.vocabulary import Vocabulary
from pipelines.compare_clip import CompareClip, describe_comparison, write_comparison
from pipelines.comparison_settings import within_demo
from pipelines.demo_data import DemoData, draw_demo_data
from pipelines.encoding import IMAGE_TERMS, EncodeSettings, encode_corpus
from pipelines.evaluate import Evaluate, describe, evaluate
from pipelines.index_building import build_index
from pipelines.served_query import ask_served
from pipelines.stages import StageLog
from pipelines.training import train
from pipelines.vector_parts import write_json

SHOWN_HITS = 3
IMPACT_BITS = 8


@dataclass(frozen=True)
class DemoSettings:
    """Sizes of the demo.

    Attributes:
        data: drawn scenes.
        shards: of the index.
    """

    data: Annotated[DemoData, tyro.conf.arg(name="")] = field(default_factory=DemoData)
    shards: int = 2


@dataclass(frozen=True)
class Places:
    """Where the stages leave their things: the defaults of all pipelines."""

    out: Path

    @property
    def train(self) -> Path:
        """Training pairs."""
        return self.out / "data" / "train"

    @property
    def val(self) -> Path:
        """Pairs to index and to evaluate with."""
        return self.out / "data" / "val"

    def evaluation(self, model: str) -> Path:
        """Recall of a model."""
        return self.out / "evaluation" / f"{model}.json"


def run_demo(out: Path, settings: DemoSettings) -> dict:
    """Runs all stages that have not finished and writes `summary.json`, which it returns."""
    log, places = StageLog(out), Places(out)
    drawn = str(settings.data)
    indexed = f"{IMAGE_TERMS} terms an image and captions, {IMPACT_BITS} bits, {settings.shards} shard(s)"
    lexlip_run, clip_run = runs.demo(), runs.demo_clip()
    log.run("data", drawn, lambda: draw_demo_data(out / "data", settings.data))
    log.run("vocabulary", lexlip_run.fingerprint, lambda: _learn_vocabulary(lexlip_run, places))
    log.run("lexlip", lexlip_run.fingerprint, lambda: train(lexlip_run, str(places.train), out / "lexlip").print())
    log.run("clip", clip_run.fingerprint, lambda: train(clip_run, str(places.train), out / "clip").print())
    log.run("encode", indexed, lambda: _encode(places, settings))
    log.run("evaluate", "all terms", lambda: _evaluate(places))
    log.run("compare", indexed, lambda: _compare(places))
    log.run("serve", indexed, lambda: _serve(places))
    summary = summarise(places, log)
    write_json(out / "summary.json", summary)
    print(f"\n{json.dumps(summary, indent=2)}\n")
    _say_where(places)
    return summary


def summarise(places: Places, log: StageLog) -> dict:
    """What the demo reached, from what its stages wrote."""
    comparison = json.loads((places.out / "report" / "comparison.json").read_text(encoding="utf-8"))
    lexlip = next(system for system in comparison["systems"] if system["name"] == "lexlip")
    flat = next(system for system in comparison["systems"] if system["name"] == "faiss-flat")
    return {
        **{model: json.loads(places.evaluation(model).read_text(encoding="utf-8")) for model in ("lexlip", "clip")},
        "lexlip_index": {"text_to_image": lexlip["recall"]},
        "index_bytes_per_image": lexlip["bytes_per_image"],
        "dense_bytes_per_image": flat["bytes_per_image"],
        "speed_ratio": comparison["speed_ratio"],
        "seconds": log.seconds,
    }


def _learn_vocabulary(run: Run, places: Places) -> None:
    # The training jobs derive the same terms from the same captions; here they lie where they can be looked at.
    vocabulary = run.make_vocabulary(open_pairs(str(places.train)))
    vocabulary.save(places.out / "vocabulary")
    print(f"vocabulary: {len(vocabulary):,} terms -> {places.out / 'vocabulary'}", flush=True)


def _encode(places: Places, settings: DemoSettings) -> None:
    encode_corpus(places.out / "lexlip", str(places.val), places.out / "vectors", EncodeSettings())
    vocabulary = Vocabulary.load(places.out / "lexlip")
    build_index(places.out / "vectors", places.out / "index", settings.shards, IMPACT_BITS, vocabulary)


def _evaluate(places: Places) -> None:
    for model in ("lexlip", "clip"):
        # The comparison goes on with these vectors.
        vectors = places.out / "report" / "vectors" / model
        found: RetrievalEvaluation = evaluate(Evaluate(places.out / model, str(places.val), vectors=vectors))
        write_json(places.evaluation(model), found.to_json())
        print(describe(model, found), flush=True)


def _compare(places: Places) -> None:
    out = places.out
    job = CompareClip(out / "lexlip", out / "clip", str(places.val), out=out / "report", settings=within_demo())
    print(describe_comparison(write_comparison(job)), flush=True)


def _serve(places: Places) -> None:
    query = pq.read_table(places.val, columns=["captions"])["captions"][0].as_py()[0]
    answer = ask_served(places.out / "index", places.out / "lexlip", query, SHOWN_HITS)
    write_json(places.out / "served_query.json", answer)
    print(f"{query!r}:")
    for hit in answer["hits"]:
        print(f"  {hit['id']}  {hit['score']:.3f}", flush=True)


def _say_where(places: Places) -> None:
    made = {
        "data": places.out / "data",
        "vocabulary": places.out / "vocabulary",
        "LexLIP model": places.out / "lexlip",
        "CLIP model": places.out / "clip",
        "vectors": places.out / "vectors",
        "index": places.out / "index",
        "comparison": places.out / "report" / "comparison.html",
        "summary": places.out / "summary.json",
    }
    for name, path in made.items():
        print(f"{name:14} {path}")
    print("To search it yourself: serve run serve.app:lexlip, then http://127.0.0.1:8000/", flush=True)
