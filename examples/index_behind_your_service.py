"""Put the index behind a service of your own: here FastAPI, one process, no Ray.

    python examples/index_behind_your_service.py --index out/demo/index --model out/demo/lexlip --port 8080
    curl 'http://127.0.0.1:8080/find?q=a+red+boat'

A new generation published into the index folder is taken up by the next request. For many users, uploads, shards on
several machines and an API key there is serve/.
"""

# %% What is needed
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
import uvicorn
from fastapi import FastAPI, HTTPException, Query

from lexlip.errors import ModelError, QueryError
from lexlip.index import Index
from lexlip.index.manifest import read_manifest
from lexlip.model.lexlip import LexLIP

QUERY_TERMS = 32


# %% The index and the model, and what keeps them together
class PhotoFinder:
    """Answers questions in words; safe to be called from several threads."""

    def __init__(self, index: Path, model: Path) -> None:
        self._folder = index
        self._model = LexLIP.from_pretrained(model)
        self._fingerprint = self._model.fingerprint
        self._lock = threading.Lock()
        self._index = self._open()

    def _open(self) -> Index:
        index = Index.open(self._folder)
        if index.manifest.model_fingerprint != self._fingerprint:
            raise ModelError(f"{self._folder} was made by another model, so its scores would mean nothing")
        return index

    def index(self) -> Index:
        """The newest generation; those who still use an older one keep it."""
        with self._lock:
            if read_manifest(self._folder).generation != self._index.manifest.generation:
                self._index = self._open()
            return self._index

    def find(self, text: str, k: int) -> dict[str, Any]:
        """The best photos for a text, each with what its words add to the score.

        Raises:
            QueryError: no word of the text has any weight.
        """
        index = self.index()
        (query,) = self._model.encode_text([text], top_terms=QUERY_TERMS)
        hits = index.search(query.terms, query.weights, k)
        found = []
        for position, score in zip(hits.positions.tolist(), hits.scores.tolist(), strict=True):
            (stored,) = index.stored([position])
            shares = self._model.explain(query, index.vector(position))
            words = {share.term: share.contribution for share in shares}
            found.append({"id": stored["id"], "score": score, "captions": stored.get("captions"), "words": words})
        return {"generation": index.manifest.generation, "hits": found}


# %% The service
def make_app(finder: PhotoFinder) -> FastAPI:
    """A FastAPI application with one route; add yours."""
    app = FastAPI(title="My photos")

    @app.get("/find")
    def find(q: str = Query(min_length=1, max_length=512), k: int = Query(10, ge=1, le=100)) -> dict[str, Any]:
        try:
            return finder.find(q, k)
        except QueryError as error:
            raise HTTPException(422, str(error)) from error

    return app


# %% All together
@dataclass(frozen=True)
class Settings:
    """What to serve, and where.

    Attributes:
        index: the index folder.
        model: the model that made its vectors.
        port: on this machine alone; put a proxy with TLS and authentication in front.
    """

    index: Path = Path("out/demo/index")
    model: Path = Path("out/demo/lexlip")
    port: int = 8080


def main(settings: Settings) -> None:
    """Serves until interrupted."""
    uvicorn.run(make_app(PhotoFinder(settings.index, settings.model)), host="127.0.0.1", port=settings.port)


if __name__ == "__main__":
    main(tyro.cli(Settings))
