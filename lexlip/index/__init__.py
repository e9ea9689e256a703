"""The posting-list engine: exact top-k search over quantised term impacts, memory-mapped, without torch.

Build shards from LexiconVector files (`build_shard`), publish them as an index (`publish`), search it (`Index`),
change it (`add_documents`, `delete_documents`, `merge_shards`) and check it (`verify_index`).
"""

from lexlip.index.build import build_shard, publish
from lexlip.index.grow import add_documents, delete_documents, merge_shards
from lexlip.index.index import DocumentFilter, Hits, Index
from lexlip.index.manifest import Manifest, ShardEntry
from lexlip.index.settings import BuildSettings
from lexlip.index.verify import verify_index

__all__ = [
    "BuildSettings",
    "DocumentFilter",
    "Hits",
    "Index",
    "Manifest",
    "ShardEntry",
    "add_documents",
    "build_shard",
    "delete_documents",
    "merge_shards",
    "publish",
    "verify_index",
]
