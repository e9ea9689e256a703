"""A sparse matrix of documents by terms, in the file that `scipy.sparse.load_npz` reads, and the ids of its rows."""

from pathlib import Path

import numpy as np

from lexlip.exchange.output_files import appearing_whole, empty_folder, write_lines
from lexlip.index.contents import read_contents
from lexlip.index.manifest import read_manifest


def export_csr(index: Path, out: Path) -> int:
    """Writes `documents.npz`, a CSR matrix of float32 weights, and `ids.jsonl`, an id a line; returns its rows.

    The whole matrix is in memory while it is written: 8 bytes a posting.
    """
    empty_folder(out)
    vocabulary_terms = read_manifest(index).vocabulary_terms
    ids: list[str] = []
    lengths: list[int] = []
    terms, weights = [np.empty(0, np.int32)], [np.empty(0, np.float32)]
    for contents in read_contents(index):
        live = np.flatnonzero(contents.live)
        lengths += np.diff(contents.starts)[live].tolist()
        own_terms, own_impacts = contents.live_postings()
        terms.append(own_terms)
        weights.append((own_impacts * contents.step).astype(np.float32))
        ids += [document.id for document in contents.documents()]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    with appearing_whole(out / "documents.npz") as file:
        np.savez_compressed(
            file,
            format=np.array(b"csr"),
            shape=np.array([len(ids), vocabulary_terms]),
            data=np.concatenate(weights),
            indices=np.concatenate(terms),
            indptr=starts,
        )
    return write_lines(out / "ids.jsonl", ids)
