"""`lexlip export` and `lexlip import`: an index in the files of other engines, and others' vectors in ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from lexlip.errors import VocabularyError
from lexlip.exchange.anserini import export_anserini, export_seismic
from lexlip.exchange.elastic import export_bulk
from lexlip.exchange.imported import TermForm, import_vectors
from lexlip.exchange.qdrant import export_qdrant
from lexlip.exchange.sparse_matrix import export_csr
from lexlip.index.manifest import read_manifest
from lexlip.vocabulary import Vocabulary


@dataclass(frozen=True)
class Export:
    """Write an index in the files of another engine; weights are the index's own, so that rankings stay.

    Attributes:
        index: the index folder.
        out: an empty or new folder.
        to: the engine: anserini and seismic (lines of JSON), elasticsearch and opensearch (bulk files), qdrant
            (points), csr (a scipy matrix).
        vocabulary: the model folder, or any folder with its vocab.txt; for engines that want terms as words.
        name: of the index in Elasticsearch and OpenSearch.
    """

    index: tyro.conf.Positional[Path]
    out: tyro.conf.Positional[Path]
    to: Literal["anserini", "seismic", "elasticsearch", "opensearch", "qdrant", "csr"]
    vocabulary: Path | None = None
    name: str = "lexlip"

    def run(self) -> int:
        """Writes the files."""
        if self.to == "anserini":
            count = export_anserini(self.index, self.out, self._words())
        elif self.to == "seismic":
            count = export_seismic(self.index, self.out, self._words())
        elif self.to == "qdrant":
            count = export_qdrant(self.index, self.out)
        elif self.to == "csr":
            count = export_csr(self.index, self.out)
        else:
            count = export_bulk(self.index, self.out, self.to, self.name).documents
        print(f"{count} documents -> {self.out}")
        return 0

    def _words(self) -> Vocabulary:
        if self.vocabulary is None:
            raise VocabularyError(f"--to {self.to} wants terms as words: give --vocabulary FOLDER, the model's folder")
        vocabulary = Vocabulary.load(self.vocabulary)
        vocabulary.require_same(read_manifest(self.index).vocabulary_fingerprint, f"the index {self.index}")
        return vocabulary


@dataclass(frozen=True)
class Import:
    """Turn vectors of another sparse encoder (lines of JSON with an id and term weights) into a vector file.

    Attributes:
        lines: path or URL of the lines; may end with .gz.
        out: the Parquet file to write, for `lexlip index build`.
        vocabulary: a folder with the vocab.txt of the encoder.
        terms_are: how the lines write terms: as words of the vocabulary, or as their ids.
    """

    lines: tyro.conf.Positional[str]
    out: tyro.conf.Positional[Path]
    vocabulary: Path
    terms_are: TermForm = "words"

    def run(self) -> int:
        """Writes the file."""
        count = import_vectors(self.lines, self.out, Vocabulary.load(self.vocabulary), terms_are=self.terms_are)
        print(f"{count} vectors -> {self.out}")
        return 0
