"""The posting-list engine: exact top-k search over quantised term impacts, memory-mapped, without torch."""

from lexlip.index.build import build_shard, publish
from lexlip.index.index import Hits, Index
from lexlip.index.manifest import Manifest, ShardEntry
from lexlip.index.settings import BuildSettings

__all__ = ["BuildSettings", "Hits", "Index", "Manifest", "ShardEntry", "build_shard", "publish"]
