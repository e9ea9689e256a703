"""Shard replicas: each holds some shards of the index, memory-mapped, and ranks their documents. No torch here."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from lexlip.errors import IndexFormatError, QueryError
from lexlip.index import Index
from lexlip.index.index import DocumentFilter
from lexlip.index.manifest import read_manifest
from serve.filters import FieldFilter, matching
from serve.generations import GenerationKeeper
from serve.merging import Ranking, merge
from serve.metrics import ShardMetrics
from serve.settings import ServeSettings
from serve.short_work import ShortWork

# Tries to open one state while new ones are being published; each takes milliseconds.
OPENING_TRIES = 20
# Masks of filters and exclusions kept per shard and generation: one bit a document would do, one byte is simpler.
KEPT_MASKS = 64


@dataclass(frozen=True)
class ShardQuery:
    """One search, the same for every shard.

    Attributes:
        state: of the index to search, as its manifest tells it.
        terms: [T] int32. weights: [T] float32, positive.
        k: how many documents.
        excluded: groups of term ids; a document that holds all terms of one group is left out.
        filters: conditions on stored fields.
    """

    state: str
    terms: np.ndarray
    weights: np.ndarray
    k: int
    excluded: tuple[tuple[int, ...], ...] = ()
    filters: tuple[FieldFilter, ...] = ()


@dataclass(frozen=True)
class ShardAnswer:
    """A ranking, or what is wrong with the query, or neither when the replica cannot get the wanted state.

    `engine_ms` is what the engine took.
    """

    ranking: Ranking | None = None
    problem: str | None = None
    engine_ms: float = 0.0


@lru_cache
def places_of_groups(shards: int, groups: int) -> tuple[tuple[int, ...], ...]:
    """Places (not numbers) of the manifest's shards that each of the deployments holds: neighbours."""
    return tuple(tuple(part.tolist()) for part in np.array_split(np.arange(shards), groups))


class OpenShard:
    """One shard of one generation, opened; remembers which documents recent filters and exclusions let through."""

    def __init__(self, index: Index, first: int) -> None:
        self.index = index
        self.first = first
        self._allowed = lru_cache(maxsize=KEPT_MASKS)(self._make_filter)

    def search(self, query: ShardQuery) -> Ranking:
        """The best documents of this shard, at their positions in the whole index."""
        allowed = self._allowed(query.excluded, query.filters) if query.excluded or query.filters else None
        hits = self.index.search(query.terms, query.weights, query.k, allowed=allowed)
        return Ranking(hits.positions + self.first, hits.scores)

    def _make_filter(self, excluded: tuple[tuple[int, ...], ...], filters: tuple[FieldFilter, ...]) -> DocumentFilter:
        allowed = np.ones(self.index.documents, bool)
        for group in excluded:
            allowed &= ~np.logical_and.reduce([self.index.documents_with(term) for term in group])
        if filters:
            fields = list(dict.fromkeys(condition.field for condition in filters))
            allowed &= matching(self.index.stored_columns(fields), filters)
        return self.index.document_filter(allowed)


class ShardGroup:
    """The shards of one deployment in one generation."""

    def __init__(self, number: int, state: str, shards: list[OpenShard]) -> None:
        self.number = number
        self.state = state
        self.shards = shards

    @classmethod
    def open(cls, folder: str | Path, group: int, groups: int) -> ShardGroup:
        """Opens this deployment's part of the published state.

        Raises:
            IndexFormatError: the index cannot be opened, or changed under every try.
        """
        for _ in range(OPENING_TRIES):
            manifest = read_manifest(folder)
            first = np.cumsum([0, *(entry.documents for entry in manifest.shards)])
            places = places_of_groups(len(manifest.shards), groups)[group]
            opened = [
                (Index.open(folder, shards=[manifest.shards[place].shard]), int(first[place])) for place in places
            ]
            if all(index.manifest.state == manifest.state for index, _ in opened):
                return cls(manifest.generation, manifest.state, [OpenShard(index, start) for index, start in opened])
        raise IndexFormatError(f"{folder}: the index changed {OPENING_TRIES} times while it was being opened.")

    def search(self, query: ShardQuery, threads: ThreadPoolExecutor | None = None) -> Ranking:
        """The best documents of all shards held here, one after the other or, by `threads`, several at a time."""
        if len(self.shards) == 1:
            return self.shards[0].search(query)
        each = map if threads is None else threads.map
        return merge(list(each(lambda shard: shard.search(query), self.shards)), query.k)


def warm(group: ShardGroup) -> None:
    """Searches in every way that has kernels of its own, so that no request waits for one to be compiled or loaded.

    Compiling those of an exclusion takes longer than a request may.
    """
    for excluded in ((), ((0,),)):
        group.search(
            ShardQuery(group.state, np.array([0], np.int32), np.array([1.0], np.float32), 1, excluded=excluded)
        )


class ShardReplica:
    """A replica over a `ShardGroup`; there is one deployment per group, each with several replicas."""

    def __init__(self, settings: ServeSettings, group: int, groups: int) -> None:
        self._metrics = ShardMetrics(group)
        self._keeper = GenerationKeeper(
            settings.index, lambda: ShardGroup.open(settings.index, group, groups), settings.kept_generations
        )
        # Requests and the shards of one request wait for different pools, or they would wait for each other.
        self._requests = ShortWork(ThreadPoolExecutor(settings.threads, thread_name_prefix="request"))
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="shard")
        warm(self._keeper.current)

    async def search(self, query: ShardQuery) -> ShardAnswer:
        """The best documents of this group's shards in the state that the query names."""
        in_thread = partial(self._search, query, self._threads)
        # A new generation is opened first, and the first search with a filter reads a whole column.
        if self._keeper.current.state != query.state or query.filters or query.excluded:
            answer = await self._requests.run_unusual(in_thread)
        else:  # small shards are searched sooner one after the other than handed to threads
            answer = await self._requests.run(partial(self._search, query), in_thread)
        if answer.ranking is not None:
            self._metrics.searched(answer.engine_ms)
        return answer

    def _search(self, query: ShardQuery, threads: ThreadPoolExecutor | None = None) -> ShardAnswer:
        group = self._keeper.get(query.state)
        if group is None:
            return ShardAnswer()
        started = time.perf_counter()
        try:
            ranking = group.search(query, threads)
        except QueryError as error:
            return ShardAnswer(problem=str(error))
        engine_ms = max(1e-3, (time.perf_counter() - started) * 1000)
        return ShardAnswer(ranking, engine_ms=engine_ms)

    async def describe(self) -> dict:
        """Facts about this process: generation, shards, documents, own memory in bytes, whether torch was imported."""
        group = self._keeper.current
        return {
            "pid": os.getpid(),
            "generation": group.number,
            "shards": len(group.shards),
            "documents": sum(shard.index.documents for shard in group.shards),
            "private_bytes": private_bytes(),
            "torch": "torch" in sys.modules,
        }


def private_bytes() -> int:
    """Memory of this process that is its own: anonymous pages, without mapped files (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0
