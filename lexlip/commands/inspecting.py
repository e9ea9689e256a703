"""`lexlip inspect`: a term's posting list, a picture's terms, the health of a lexicon, drift between two models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from lexlip.commands.location_argument import LocationArgument
from lexlip.commands.searching import position_of
from lexlip.errors import DataError, QueryError
from lexlip.evaluation.vector_files import read_lexicon_vectors
from lexlip.index import Index
from lexlip.index.drift import measure_drift
from lexlip.index.health import measure_health
from lexlip.storage import Location
from lexlip.tables import LexiconVector
from lexlip.vocabulary import Vocabulary


@dataclass(frozen=True)
class InspectTerm:
    """Show the posting list of a term: how many pictures have it, and which have most of it.

    Attributes:
        term: as in the vocabulary; a piece that continues a word begins with ##.
        index: folder or URL of the index.
        vocabulary: the model folder, or any folder with its vocab.txt.
        k: how many pictures.
    """

    term: tyro.conf.Positional[str]
    index: LocationArgument
    vocabulary: Path
    k: int = 10

    def run(self) -> int:
        """Prints the length of the list and its heaviest entries."""
        vocabulary, index = _vocabulary_of(self.index, self.vocabulary), Index.open(self.index)
        term = vocabulary.id_of(self.term.lower() if vocabulary.lowercase else self.term)
        if term is None:
            pieces = [vocabulary.term_of(piece) for _, own in vocabulary.words_of(self.term) for piece in own]
            raise QueryError(f"{self.term!r} is not one term of the vocabulary; it is made of: {' '.join(pieces)}")
        length = int(measure_health(self.index).list_lengths[term])
        documents = index.manifest.documents
        print(f"{self.term} (term {term}): in {length} of {documents} documents ({length / max(documents, 1):.2%})")
        if length:
            hits = index.search(np.array([term]), np.ones(1), self.k)
            for weight, stored in zip(hits.scores.tolist(), index.stored(hits.positions.tolist()), strict=True):
                print(f"{weight:.4f}  {stored['id']}  {' | '.join((stored.get('captions') or [])[:1])}")
        return 0


@dataclass(frozen=True)
class InspectImage:
    """Show the terms of a picture as they are in the index, heaviest first, and its captions.

    Attributes:
        id: of the picture.
        index: folder or URL of the index.
        vocabulary: the model folder, or any folder with its vocab.txt.
    """

    id: tyro.conf.Positional[str]
    index: LocationArgument
    vocabulary: Path

    def run(self) -> int:
        """Prints one term a line."""
        vocabulary, index = _vocabulary_of(self.index, self.vocabulary), Index.open(self.index)
        position = position_of(index, self.id, self.index)
        vector = index.vector(position)
        for caption in index.stored([position])[0].get("captions") or ():
            print(f"caption: {caption}")
        for at in vector.heaviest(len(vector.terms)):
            print(f"{vector.weights[at]:.4f}  {vocabulary.term_of(int(vector.terms[at]))}")
        return 0


@dataclass(frozen=True)
class InspectHealth:
    """Show how the vocabulary is used: dead terms, hot lists, terms per picture.

    Attributes:
        index: folder or URL of the index.
        vocabulary: the model folder, or any folder with its vocab.txt.
        hot_share: a list with more than this share of the pictures is hot: it costs time and tells little.
        k: how many hot lists are named.
    """

    index: tyro.conf.Positional[LocationArgument]
    vocabulary: Path
    hot_share: float = 0.2
    k: int = 10

    def run(self) -> int:
        """Prints the figures."""
        vocabulary = _vocabulary_of(self.index, self.vocabulary)
        health = measure_health(self.index)
        ordinary = vocabulary.ordinary_ids
        lengths = health.list_lengths[ordinary]
        dead = int((lengths == 0).sum())
        each = health.postings_per_document
        print(f"{health.documents} documents, {health.postings} postings, {each:.1f} a document")
        print(f"dead terms: {dead} of {ordinary.size} ({dead / ordinary.size:.1%}) are in no picture")
        print(f"in use: as much as {health.effective_terms:.0f} equally frequent terms would be")
        print(f"documents without any term: {health.empty_documents}")
        hot = [term for term in health.longest_lists() if health.share_of(term) > self.hot_share]
        print(f"hot lists, with more than {self.hot_share:.0%} of the documents: {len(hot)}")
        for term in hot[: self.k]:
            share, impact = health.share_of(term), health.mean_impact(term)
            print(f"{share:6.1%}  mean impact {impact:5.1f}  {vocabulary.term_of(term)}")
        return 0


@dataclass(frozen=True)
class InspectDrift:
    """Compare two models' vectors of the same pictures: how far they moved, and which terms gained and lost.

    Attributes:
        before: vectors of the first model: a Parquet file, or a folder of them.
        after: vectors of the second, of the same pictures.
        vocabulary: of both models.
        k: how many terms and pictures are named.
    """

    before: tyro.conf.Positional[Path]
    after: tyro.conf.Positional[Path]
    vocabulary: Path
    k: int = 10

    def run(self) -> int:
        """Prints the figures."""
        vocabulary = Vocabulary.load(self.vocabulary)
        first, second = _vectors_by_id(self.before), _vectors_by_id(self.after)
        common = [identifier for identifier in first if identifier in second]
        if not common:
            raise DataError(f"{self.before} and {self.after} have no id in common: encode the same pictures twice")
        drift = measure_drift(
            [first[identifier] for identifier in common], [second[identifier] for identifier in common], len(vocabulary)
        )
        print(f"{len(common)} pictures in both ({len(first)} before, {len(second)} after)")
        print(f"cosine similarity: mean {drift.cosines.mean():.3f}, lowest {drift.cosines.min():.3f}")
        print(f"of a picture's ten heaviest terms {drift.kept_terms.mean():.1%} stay among its ten heaviest")
        for title, sign in (("gained", 1), ("lost", -1)):
            order = np.argsort(-sign * drift.mean_change, kind="stable")[: self.k]
            words = [
                f"{vocabulary.term_of(int(term))} {drift.mean_change[term]:+.3f}"
                for term in order
                if sign * drift.mean_change[term] > 0
            ]
            print(f"terms that {title} most weight a picture: {', '.join(words) or 'none'}")
        farthest = np.argsort(drift.cosines, kind="stable")[: self.k]
        print("moved farthest: " + ", ".join(f"{common[at]} {drift.cosines[at]:.2f}" for at in farthest))
        return 0


InspectCommand = (
    Annotated[InspectTerm, tyro.conf.subcommand("term")]
    | Annotated[InspectImage, tyro.conf.subcommand("image")]
    | Annotated[InspectHealth, tyro.conf.subcommand("health")]
    | Annotated[InspectDrift, tyro.conf.subcommand("drift")]
)


@dataclass(frozen=True)
class InspectCommands:
    """Look into an index or vectors.

    Attributes:
        command: at what.
    """

    command: tyro.conf.OmitSubcommandPrefixes[InspectCommand]

    def run(self) -> int:
        """Does it."""
        return self.command.run()


def _vocabulary_of(index: Location, folder: Path) -> Vocabulary:
    vocabulary = Vocabulary.load(folder)
    vocabulary.require_same(Index.open(index, shards=()).manifest.vocabulary_fingerprint, f"the index {index}")
    return vocabulary


def _vectors_by_id(path: Path) -> dict[str, LexiconVector]:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise DataError(f"{path}: no vectors there; give a Parquet file or a folder of them")
    ids, vectors = read_lexicon_vectors(files)
    return dict(zip(ids, vectors, strict=True))
