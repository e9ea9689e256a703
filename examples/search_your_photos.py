"""Search your own photos: a folder of pictures becomes an index, and a sentence finds them. No Ray, no server.

    python examples/search_your_photos.py --photos ~/Pictures --model out/demo/lexlip --query "a red boat on the sea"

Each `# %%` is a cell, for editors that run them one by one. The second time only the query is encoded.
"""

# %% What is needed
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import tyro

from lexlip.errors import BadImage, DataError
from lexlip.index import BuildSettings, Index, build_shard, publish
from lexlip.model.lexlip import LexLIP
from lexlip.tables import LEXICON_VECTOR_SCHEMA

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
BATCH = 32
QUERY_TERMS = 32  # words of a query that are searched, those that together say most; an index takes 512 at most


@dataclass(frozen=True)
class Settings:
    """What to search.

    Attributes:
        photos: a folder; pictures are found at any depth.
        query: what to look for.
        model: a LexLIP model.
        index: where the index is kept.
        terms: words kept of each photo.
        k: how many photos to show.
    """

    photos: Path
    query: str
    model: Path = Path("out/demo/lexlip")
    index: Path = Path("out/my-photos")
    terms: int = 32
    k: int = 5


# %% From pictures to vectors, some at a time
def vector_tables(model: LexLIP, photos: Path, terms: int) -> Iterator[pa.Table]:
    """LexiconVector tables; files that are no pictures are named and left out."""
    files = (file for file in sorted(photos.rglob("*")) if file.suffix.lower() in SUFFIXES)
    while batch := list(islice(files, BATCH)):
        rows = []
        for file in batch:
            try:
                (vector,) = model.encode_image([file.read_bytes()], top_terms=terms)
            except BadImage as error:
                print(f"left out: {file}: {error}")
                continue
            name = str(file.relative_to(photos))
            rows.append({"id": name, "terms": vector.terms.tolist(), "weights": vector.weights.tolist()})
        yield pa.Table.from_pylist(rows, schema=LEXICON_VECTOR_SCHEMA)


# %% From vectors to an index
def build(model: LexLIP, settings: Settings) -> None:
    """Writes the vectors into a file beside the index, and publishes the index."""
    vectors = settings.index.with_name(settings.index.name + ".parquet")
    vectors.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with pq.ParquetWriter(vectors, LEXICON_VECTOR_SCHEMA) as writer:
        for table in vector_tables(model, settings.photos, settings.terms):
            writer.write_table(table)
            count += table.num_rows
            print(f"{count} photos encoded")
    if not count:
        raise DataError(f"{settings.photos}: no photos there")
    terms = len(model.vocabulary)
    publish(
        settings.index,
        [build_shard([vectors], settings.index, 0, BuildSettings(), vocabulary_terms=terms)],
        vocabulary_fingerprint=model.vocabulary.fingerprint,
        model_fingerprint=model.fingerprint,
        settings=BuildSettings(),
        vocabulary_terms=terms,
    )


# %% From a sentence to photos, and why
def search(model: LexLIP, settings: Settings) -> list[tuple[str, float]]:
    """Prints the best photos with the words that found them; returns their names and scores."""
    index = Index.open(settings.index)
    (query,) = model.encode_text([settings.query], top_terms=QUERY_TERMS)
    hits = index.search(query.terms, query.weights, k=settings.k)
    found = []
    for position, score in zip(hits.positions.tolist(), hits.scores.tolist(), strict=True):
        (stored,) = index.stored([position])
        words = model.explain(query, index.vector(position))[:4]
        print(f"{score:.3f}  {settings.photos / stored['id']}  ({', '.join(share.term for share in words)})")
        found.append((stored["id"], score))
    return found


# %% All together
def main(settings: Settings) -> list[tuple[str, float]]:
    """Builds the index unless it is there, then searches it."""
    model = LexLIP.from_pretrained(settings.model)
    if not (settings.index / "index.json").is_file():
        build(model, settings)
    return search(model, settings)


if __name__ == "__main__":
    main(tyro.cli(Settings))
