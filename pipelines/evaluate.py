"""Measures how well a model finds images by captions and captions by images, or names what is in them.

    python pipelines/evaluate.py --model out/demo/lexlip --data out/demo/data/val --json recall.json --trec runs
    python pipelines/evaluate.py --classes scenes:object --against out/demo/clip
    python pipelines/evaluate.py --model M --against CLIP --data FOLDER_OF_CLASS_FOLDERS --classes labels

Every caption has one right image; an image counts as found at the rank of its best caption. Scores are exact: lexicon
vectors are compared in floating point, nothing quantised and no index between.
"""

import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from lexlip.errors import ModelError
from lexlip.evaluation.caption_fusion import evaluate_fusion
from lexlip.evaluation.classification import TEMPLATES, ClassificationEvaluation
from lexlip.evaluation.lexicon import readable_terms, top_terms_in_captions
from lexlip.evaluation.query_encoding import time_query_encoding
from lexlip.evaluation.recall import best_answers
from lexlip.evaluation.retrieval import RetrievalEvaluation, evaluate_dense, evaluate_sparse
from lexlip.evaluation.similarity import least_score, scores_of
from lexlip.evaluation.trec_files import judgement_lines, run_lines
from lexlip.little_words import little_terms
from lexlip.model.lexlip import LexLIP
from lexlip.model.query_lookup import QueryLookup
from lexlip.model.saving import load_model
from lexlip.vocabulary import Vocabulary
from pipelines.cluster_session import cluster_session, run_main
from pipelines.default_paths import DEMO, require, require_lasting
from pipelines.encoded_pairs import EncodedPairs, encode_pairs
from pipelines.encoding import ActorSettings, EncodeSettings
from pipelines.vector_parts import write_json, write_text
from pipelines.zero_shot import describe_classes, evaluate_classes

TREC_DEPTH = 100
RETRIEVAL_OPTIONS = ("query_terms", "lookup", "captions", "words", "trec")  # mean nothing where pictures are classified


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a LexLIP or dense CLIP model on pairs.

    Attributes:
        model: folder of the model.
        data: pairs: Parquet file, glob or folder, or an image folder with captions.
        json: file for the result.
        image_terms: terms kept per image, those that together say most; all unless given. LexLIP only.
        query_terms: terms kept per caption; all unless given. LexLIP only.
        mirrored: read every picture mirrored too; as the model says unless given.
        lookup: folder of a query lookup, which is measured beside the model's text tower. LexLIP only.
        captions: also measure searches that weigh captions: each asks among pictures known by their other captions.
            LexLIP only.
        words: of how many images the ten heaviest terms are printed, those that their captions have in capitals.
            LexLIP only.
        vectors: folder to keep the vectors in; an interrupted evaluation goes on from it. Temporary unless given.
        trec: folder for runs and judgements that `trec_eval` or `ir_measures` read; recall at k is their Success@k.
        classes: classify the pictures instead: "labels" for the labels of the data, "scenes:object" and the like for
            concepts of the drawn scenes, or a text file with a class a line. Labels are a column `label`, `labels` or
            `concepts`, or the names of the folders that the pictures lie in.
        templates: sentences into which the names of classes are put.
        against: another model that classifies the same pictures.
        actors: the processes that hold the model.
    """

    model: Path = DEMO / "lexlip"
    data: str = str(DEMO / "data" / "val")
    json: Path | None = None
    image_terms: int | None = None
    query_terms: int | None = None
    mirrored: bool | None = None
    lookup: Path | None = None
    captions: bool = False
    words: int = 0
    vectors: Path | None = None
    trec: Path | None = None
    classes: str | None = None
    templates: tuple[str, ...] = TEMPLATES
    against: Path | None = None
    actors: Annotated[ActorSettings, tyro.conf.arg(name="")] = field(default_factory=ActorSettings)


def evaluate(job: Evaluate) -> RetrievalEvaluation:
    """Encodes the pairs on Ray and measures recall.

    Raises:
        ModelError: the model is not usable, a query lookup, captions or words are asked of a dense one, or another
            model is given to compare with, which only classification does.
        VocabularyError: the query lookup was learned with another vocabulary.
        DataError: the data is not usable.
    """
    if job.against is not None or job.templates != TEMPLATES:
        raise ModelError("--against and --templates are for classifying: give --classes too, or leave them out")
    if (job.captions or job.words) and load_model(job.model).kind != "lexlip":
        raise ModelError(f"{job.model}: a dense model has no words; leave captions and words out")
    looking_up = _lookup_for(job.model, job.lookup) if job.lookup is not None else None
    settings = EncodeSettings(thumbnail_pixels=0)
    with ExitStack() as stack:
        folder = job.vectors or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lexlip-evaluate-")))
        encoded = encode_pairs(
            job.model,
            job.data,
            folder,
            image_settings=replace(settings, top_terms=job.image_terms, mirrored=job.mirrored),
            text_settings=replace(settings, top_terms=job.query_terms),
            actors=job.actors,
        )
        if job.trec is not None:
            write_trec(encoded, job.trec)
        evaluation = evaluate_encoded(encoded, job.model)
        if job.words:
            _print_words(encoded, job)
        if job.captions:
            vocabulary = Vocabulary.load(job.model)
            images, asking = list(encoded.images), list(encoded.caption_vectors)
            fusion = evaluate_fusion(images, encoded.texts, asking, encoded.right, vocabulary)
            evaluation = replace(evaluation, fusion=fusion)
        if looking_up is None:
            return evaluation
        model, lookup = looking_up
        looked_up = replace(encoded, caption_vectors=lookup.encode_text(encoded.texts, top_terms=job.query_terms))
        speed = time_query_encoding(model, lookup, encoded.texts, job.query_terms)
        return replace(evaluation, lookup=evaluate_encoded(looked_up, job.model), query_encoding=speed)


def _print_words(encoded: EncodedPairs, job: Evaluate) -> None:
    vocabulary = Vocabulary.load(job.model)
    shown = zip(encoded.image_ids[: job.words], encoded.images, encoded.captions, strict=False)
    for image_id, vector, captions in shown:
        print(f"  {image_id}: {readable_terms(vector, captions, vocabulary)}")


def _lookup_for(model: Path, folder: Path) -> tuple[LexLIP, QueryLookup]:
    lookup, loaded = QueryLookup.load(folder), load_model(model)
    if not isinstance(loaded, LexLIP):
        raise ModelError(f"{model}: a {loaded.kind!r} model has no terms that queries could be looked up in")
    lookup.vocabulary.require_same(loaded.vocabulary.fingerprint, str(model))
    return loaded, lookup


def evaluate_zero_shot(job: Evaluate, classes: str) -> dict[str, ClassificationEvaluation]:
    """Encodes the pictures on Ray and classifies them with the model, and with the other one if there is one.

    Raises:
        ModelError: an option is given that only retrieval has.
        DataError: the data is not usable.
    """
    given = [name for name in RETRIEVAL_OPTIONS if getattr(job, name)]
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise ModelError(f"--classes classifies pictures; leave out what belongs to retrieval: {names}")
    models = {"model": job.model, **({"against": job.against} if job.against is not None else {})}
    with ExitStack() as stack:
        folder = job.vectors or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lexlip-evaluate-")))
        settings = EncodeSettings(top_terms=job.image_terms, thumbnail_pixels=0, mirrored=job.mirrored)
        return evaluate_classes(models, job.data, classes, job.templates, folder, settings, job.actors)


def write_trec(encoded: EncodedPairs, folder: Path) -> None:
    """Writes the first hundred answers of every query in both directions, and which are right."""
    captions, images = encoded.caption_vectors, encoded.images
    caption_ids = [f"{encoded.image_ids[owner]}#{n}" for n, owner in enumerate(encoded.right.image_of_caption)]
    described = encoded.right.described.tolist()
    asking = images[described] if isinstance(images, np.ndarray) else [images[number] for number in described]
    image_names = [encoded.image_ids[number] for number in described]
    directions = (
        ("text-to-image", caption_ids, encoded.image_ids, captions, images, encoded.right.of_captions),
        ("image-to-text", image_names, caption_ids, asking, captions, encoded.right.of_images),
    )
    for name, queries, documents, left, right, answers in directions:
        hits, scores = best_answers(scores_of(left, right), TREC_DEPTH, least_score(images))
        write_text(folder / f"{name}.run", run_lines(queries, documents, hits, scores, encoded.record.kind))
        write_text(folder / f"{name}.qrels", judgement_lines(queries, documents, answers))


def evaluate_encoded(encoded: EncodedPairs, model: Path) -> RetrievalEvaluation:
    """Recall of encoded pairs; for lexicon vectors also how readable they are."""
    images, captions, mirrored = encoded.images, encoded.caption_vectors, encoded.record.mirrored
    if isinstance(images, np.ndarray) or isinstance(captions, np.ndarray):
        return replace(evaluate_dense(np.asarray(images), np.asarray(captions), encoded.right), mirrored=mirrored)
    evaluation = replace(evaluate_sparse(images, captions, encoded.right), mirrored=mirrored)
    vocabulary = Vocabulary.load(model)
    share = top_terms_in_captions(images, encoded.captions, vocabulary)
    telling = top_terms_in_captions(images, encoded.captions, vocabulary, left_out=little_terms(vocabulary))
    return replace(evaluation, top_terms_in_captions=share, telling_terms_in_captions=telling)


def describe(name: str, evaluation: RetrievalEvaluation) -> str:
    """The result as a few lines of text."""
    looks = ", images read mirrored too" if evaluation.mirrored else ""
    lines = [f"{name}: {evaluation.images:,} images, {evaluation.captions:,} captions{looks}"]
    for direction in ("text_to_image", "image_to_text"):
        recall = getattr(evaluation, direction)
        words = direction.replace("_", " ")
        lines.append(f"  {words}   R@1 {recall.r1:6.2f}   R@5 {recall.r5:6.2f}   R@10 {recall.r10:6.2f}")
    if evaluation.terms is not None:
        counts = evaluation.terms
        lines.append(f"  terms: {counts.image_mean:.1f} per image, {counts.text_mean:.1f} per text")
        share, telling = evaluation.top_terms_in_captions, evaluation.telling_terms_in_captions
        lines.append(f"  top ten terms that occur in the image's captions: {share:.1f} %")
        lines.append(f"  of the top ten without little words and punctuation: {telling:.1f} %")
    if evaluation.fusion is not None:
        lines.append(f"  {evaluation.fusion.queries:,} captions ask, the others of their image are indexed too:")
        for fused in evaluation.fusion.shares:
            shown = "   ".join(
                f"{name} {recall.r1:6.2f} / {recall.r5:6.2f} / {recall.r10:6.2f}"
                for name, recall in (("R@1/5/10", fused.exact), ("of impacts", fused.impacts))
            )
            lines.append(f"  captions {fused.captions:.1f}   {shown}")
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    job = tyro.cli(Evaluate)
    require(job.model, job.data)
    require_lasting(json=job.json, vectors=job.vectors, trec=job.trec)
    with cluster_session():
        if job.classes is not None:
            found = evaluate_zero_shot(job, job.classes)
            text, record = describe_classes(found), {name: result.to_json() for name, result in found.items()}
        else:
            evaluation = evaluate(job)
            text, record = describe(str(job.model), evaluation), evaluation.to_json()
            if evaluation.lookup is not None:
                text += "\n" + describe(f"the same, queries looked up in {job.lookup}", evaluation.lookup)
            if evaluation.query_encoding is not None:
                speed = evaluation.query_encoding
                text += f"\n  a query's vector: {speed.tower_p50_us:,.0f} us by the text tower, "
                text += f"{speed.lookup_p50_us:,.0f} us by the lookup (medians of {speed.texts} texts, one at a time)"
    print(text)
    if job.json is not None:
        write_json(job.json, record | {"command": " ".join(["python", *sys.argv])})
        print(f"evaluate: written to {job.json}")


if __name__ == "__main__":
    run_main(main)
