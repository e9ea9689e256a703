"""The posting-list engine: exact top-k search over quantised term impacts, memory-mapped, without torch.

Build shards from LexiconVector files (`build_shard`), publish them as an index (`publish`), search it (`Index`),
change it (`add_documents`, `delete_documents`, `merge_shards`), check it (`verify_index`) and copy it to or from a URL
(`copy_index`). An index can hold the words of captions too (`CaptionIndexing`), and answer for both at once (`fuse`).
"""

from lexlip.index.build import build_shard, publish
from lexlip.index.caption_field import CaptionField
from lexlip.index.caption_postings import CaptionIndexing, measure_captions
from lexlip.index.copying import copy_index
from lexlip.index.fusion import fuse, said_pieces
from lexlip.index.grow import add_documents, delete_documents, merge_shards
from lexlip.index.index import DocumentFilter, Hits, Index
from lexlip.index.manifest import Manifest, ShardEntry
from lexlip.index.settings import BuildSettings
from lexlip.index.verify import verify_index

__all__ = [
    "BuildSettings",
    "CaptionField",
    "CaptionIndexing",
    "DocumentFilter",
    "Hits",
    "Index",
    "Manifest",
    "ShardEntry",
    "add_documents",
    "build_shard",
    "copy_index",
    "delete_documents",
    "fuse",
    "measure_captions",
    "merge_shards",
    "publish",
    "said_pieces",
    "verify_index",
]
