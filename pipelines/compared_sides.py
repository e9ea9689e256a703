"""The real vectors of a comparison: pairs, extra photos and extra captions, encoded alike by both models."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from lexlip.errors import DataError
from lexlip.evaluation.sparse_rows import SparseRows
from lexlip.index.term_covariance import TermCovariance
from lexlip.model.lexlip import LexLIP
from lexlip.model.saving import load_encoder
from lexlip.tables import LexiconVector
from pipelines.comparison_settings import CompareSettings
from pipelines.encoded_pairs import EncodedPairs, encode_pairs, read_column, read_vectors
from pipelines.encoding import EncodeSettings, encode_corpus
from pipelines.extra_captions import write_extra_captions
from pipelines.vector_parts import finished_parts


@dataclass(frozen=True)
class Rivals:
    """What is compared, and on what.

    Attributes:
        lexlip: folder of the LexLIP model.
        clip: folder of the dense model.
        data: pairs with right answers.
        photos: locations of further photos, distractors for captions that ask.
        texts: locations of further captions, distractors for pictures that ask.
        vectors: where encoded vectors go; what is there already is not encoded again.
        work: where the corpus, indexes and answers are kept, so that an interrupted comparison goes on.
        mirrored: both models read every picture mirrored too, or neither does; None where either says so.
    """

    lexlip: Path
    clip: Path
    data: str
    photos: tuple[str, ...]
    texts: tuple[str, ...]
    vectors: Path
    work: Path
    mirrored: bool | None = None

    @cached_property
    def whole(self) -> EncodeSettings:
        """How both models encode both sides: uncut, and pictures alike, since both looks help either model."""
        mirrored = self.mirrored
        if mirrored is None:
            mirrored = any(load_encoder(model).preprocessing.mirrored for model in (self.lexlip, self.clip))
        return EncodeSettings(top_terms=None, thumbnail_pixels=0, mirrored=mirrored)


@dataclass(frozen=True)
class Encoded:
    """Documents as both models see them.

    Attributes:
        ids: of the documents.
        lexicon: N rows, uncut.
        dense: [N, E] float32.
        captions: N lists: what people wrote about each picture, or the caption itself.
        parts: names of the files that hold the vectors; they change when data or models do.
    """

    ids: list[str]
    lexicon: SparseRows
    dense: np.ndarray
    captions: list[list[str]]
    parts: tuple[str, ...]

    def take(self, rows: np.ndarray) -> "Encoded":
        """Some of the documents."""
        vectors = [self.lexicon.row(row) for row in rows]
        return Encoded(
            [self.ids[row] for row in rows],
            SparseRows.of_vectors(vectors),
            self.dense[rows],
            [self.captions[row] for row in rows],
            self.parts,
        )


def encode_both(rivals: Rivals) -> tuple[EncodedPairs, EncodedPairs]:
    """The pairs encoded by LexLIP and by the dense model.

    Raises:
        DataError: a folder holds the wrong kind of model, or the two were given different rows.
    """
    lexlip, clip = (
        encode_pairs(model, rivals.data, rivals.vectors / name, image_settings=rivals.whole, text_settings=rivals.whole)
        for name, model in (("lexlip", rivals.lexlip), ("clip", rivals.clip))
    )
    for pairs, wanted, model in ((lexlip, "lexlip", rivals.lexlip), (clip, "clip", rivals.clip)):
        if pairs.record.kind != wanted:
            raise DataError(f"{model}: is a {pairs.record.kind!r} model where a {wanted!r} model is needed")
    if clip.image_ids != lexlip.image_ids or clip.texts != lexlip.texts:
        raise DataError(
            f"{rivals.vectors}: the two models were given different rows of {rivals.data}; remove the folder"
        )
    return lexlip, clip


def covariances(rivals: Rivals) -> tuple[TermCovariance, TermCovariance]:
    """Of images and of texts: by the one the LexLIP model cuts texts, by the other images."""
    statistics = LexLIP.from_pretrained(rivals.lexlip).term_statistics
    return statistics.covariance("image"), statistics.covariance("text")


def pictures_of(rivals: Rivals, lexlip: EncodedPairs, clip: EncodedPairs) -> Encoded:
    """The pictures of the pairs as documents."""
    return Encoded(
        lexlip.image_ids,
        _rows(lexlip.images),
        np.asarray(clip.images),
        lexlip.captions,
        _part_names(rivals.vectors, "images"),
    )


def captions_of(rivals: Rivals, lexlip: EncodedPairs, clip: EncodedPairs) -> Encoded:
    """The captions of the pairs as documents."""
    owners = lexlip.right.image_of_caption
    return Encoded(
        [f"{lexlip.image_ids[owner]}#{number}" for number, owner in enumerate(owners)],
        _rows(lexlip.caption_vectors),
        np.asarray(clip.caption_vectors),
        [[text] for text in lexlip.texts],
        _part_names(rivals.vectors, "captions"),
    )


def extra_documents(rivals: Rivals, settings: CompareSettings, own: EncodedPairs, room: int) -> list[Encoded]:
    """Real distractors, encoded by both models: photos or captions, as the direction wants.

    Args:
        rivals: models and locations.
        settings: the direction.
        own: the pairs, whose pictures and captions are left out.
        room: documents that are wanted at most.
    """
    texts = settings.direction == "image-to-text"
    taken = set(own.image_ids)
    found: list[Encoded] = []
    for location in rivals.texts if texts else rivals.photos:
        if room <= 0:
            break
        name = f"{'texts' if texts else 'photos'}-{hashlib.sha256(location.encode()).hexdigest()[:8]}"
        if texts:
            name = f"{name}-{room}"
            data = rivals.work / name / "captions.parquet"
            if not data.is_file():
                write_extra_captions(
                    location, data, taken_ids=taken, taken_captions=_all_captions(own, found), most=room
                )
            location = str(data)
        encoded = _encode_extra(rivals, location, name, texts)
        fresh = np.array([row for row, key in enumerate(encoded.ids) if texts or key not in taken], np.int64)[:room]
        taken.update(encoded.ids)
        found.append(encoded.take(fresh))
        room -= len(fresh)
        print(f"compare: {len(fresh):,} real distractor(s) from {location}", flush=True)
    return found


def _all_captions(own: EncodedPairs, found: Sequence[Encoded]) -> list[str]:
    return own.texts + [text for extra in found for texts in extra.captions for text in texts]


def _encode_extra(rivals: Rivals, data: str, name: str, texts: bool) -> Encoded:
    settings = replace(rivals.whole, side="text" if texts else "image")
    folders = {kind: rivals.vectors / kind / name for kind in ("lexlip", "clip")}
    for kind, model in (("lexlip", rivals.lexlip), ("clip", rivals.clip)):
        encode_corpus(model, data, folders[kind], settings)
    ids, lexicon = read_vectors(folders["lexlip"])
    dense_ids, dense = read_vectors(folders["clip"])
    if ids != dense_ids:
        raise DataError(f"{folders['clip']}: other rows than {folders['lexlip']}; remove both folders")
    return Encoded(
        ids,
        _rows(lexicon),
        np.asarray(dense),
        [texts or [] for texts in read_column(folders["lexlip"], "captions")],
        _part_names(rivals.vectors, name),
    )


def _part_names(vectors: Path, name: str) -> tuple[str, ...]:
    return tuple(part.name for kind in ("lexlip", "clip") for part in finished_parts(vectors / kind / name))


def _rows(vectors: list[LexiconVector] | np.ndarray) -> SparseRows:
    if isinstance(vectors, np.ndarray):
        raise DataError("dense vectors where lexicon vectors are needed; give the folder of a LexLIP model")
    return SparseRows.of_vectors(vectors)
