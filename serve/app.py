"""The graph: gateway -> text or image encoder -> one deployment per group of shards -> merge.

serve run serve.app:lexlip index=FOLDER model=FOLDER
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from ray import serve

from lexlip.index.manifest import read_manifest
from lexlip.index.pursuit import keep_terms_by_pursuit
from lexlip.index.scaling import scale_by_spread
from lexlip.index.term_covariance import TermCovariance
from lexlip.storage import locate
from serve.encoders import ImageEncoder, TextEncoder
from serve.gateway import Gateway
from serve.hops import REPLICA_ENVIRONMENT
from serve.priority import giving_way
from serve.settings import ServeSettings, key_digest
from serve.shards import ShardGroup, ShardReplica, warm

# The gateway refuses beyond its capacity by itself, at once and with Retry-After; Serve's queue only has to be longer.
WAITING_ROOM = 1024


def compile_kernels(index: str, shards: int) -> None:
    """Does what replicas and the gateway do, so that the kernels of the engine are compiled and kept on this machine.

    That takes a quarter of a minute, once. Replicas that all find them missing would compile them all at the same time.

    Args:
        index: folder of the index.
        shards: how many it has; one of them is searched.
    """
    one_row, nothing = (np.array([0, 1]), np.array([0]), np.array([1.0])), TermCovariance.of_nothing(1)
    scale_by_spread(*keep_terms_by_pursuit(*one_row, 1, nothing), nothing)
    if shards:
        group = ShardGroup.open(index, 0, shards)
        warm(group)
        if group.shards[0].index.documents:
            group.shards[0].index.contributions(0, np.array([0], np.int32), np.array([1.0], np.float32))


def deployments_of_shards(shards: int, documents: int, documents_per_replica: int) -> int:
    """How many deployments hold an index: as few as have room for its documents, at most one a shard, at least one."""
    return max(1, min(shards, math.ceil(documents / documents_per_replica)))


def lexlip(args: dict[str, str]) -> serve.Application:
    """The application's graph. Without arguments it serves what `make demo` left in out/demo.

    Args:
        args: settings by name, see `ServeSettings`.

    Raises:
        SettingsError: unknown or malformed settings; index or model missing.
        IndexFormatError: the index cannot be read.
    """
    settings = ServeSettings.from_arguments(args).located()
    manifest = read_manifest(settings.index)
    local = isinstance(locate(settings.index), Path)  # to fetch a shard would take longer than it saves
    compile_kernels(settings.index, len(manifest.shards) if local else 0)
    groups = deployments_of_shards(len(manifest.shards), manifest.documents, settings.documents_per_replica)
    options: dict[str, Any] = {
        "ray_actor_options": {"num_cpus": settings.cpus, "runtime_env": REPLICA_ENVIRONMENT},
        "max_ongoing_requests": settings.capacity,
        # A replica that cannot start will not start the tenth time either: say so early.
        "max_constructor_retry_count": 2,
        "health_check_period_s": 2,
        "graceful_shutdown_timeout_s": 5,
        # A log line a call costs more than the search itself; the metrics count them all.
        "logging_config": {"enable_access_log": False},
    }
    on_encoder = {**options, "num_replicas": settings.encoder_replicas}
    if settings.device != "cpu":
        on_encoder["ray_actor_options"] = {**options["ray_actor_options"], "num_gpus": 1}
    shard_replica = giving_way(ShardReplica)
    shards = [
        serve.deployment(name=f"shard-{group}", num_replicas=settings.replicas, **options)(shard_replica).bind(
            settings, group, groups
        )
        for group in range(groups)
    ]
    on_gateway = {**options, "num_replicas": settings.gateway_replicas, "max_ongoing_requests": WAITING_ROOM}
    texts = None if settings.lookup else serve.deployment(**on_encoder)(giving_way(TextEncoder)).bind(settings)
    images = serve.deployment(**on_encoder)(giving_way(ImageEncoder)).bind(settings)
    return serve.deployment(**on_gateway)(Gateway).bind(settings, key_digest(), texts, images, *shards)
