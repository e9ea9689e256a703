"""An index behind a URL, over HTTP: fetched once, checked, mapped; answers are those of a local one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

from lexlip.errors import IndexFormatError, StorageError
from lexlip.index import Index, Manifest, copy_index, delete_documents, verify_index
from lexlip.index.remote_files import fetch, local_folder
from lexlip.storage import RemotePath
from serve.generations import GenerationKeeper
from serve.shards import ShardGroup

if TYPE_CHECKING:
    from conftest import Store

BUCKET = "photos"
URL = f"s3://{BUCKET}/indexes/first"
MANIFEST = "index.json"
Build = Callable[..., Manifest]
QUERY = np.array([3, 40, 77, 120, 250]), np.array([0.5, 0.4, 0.3, 0.2, 0.1])


def answers(index: Index) -> list[tuple[str, float, list[str]]]:
    hits = index.search(*QUERY, 20)
    rows = index.stored(hits.positions.tolist())
    return [(row["id"], float(score), row["captions"]) for row, score in zip(rows, hits.scores, strict=True)]


def cached(name_ends: str) -> Path:
    """A file of the cache."""
    return next(file for file in local_folder(RemotePath(URL)).iterdir() if file.name.endswith(name_ends))


def test_a_remote_index_answers_as_a_local_one(
    store: Store, build: Build, forget: Callable[[], None], tmp_path: Path
) -> None:
    build(tmp_path / "local")
    manifest = build(URL)
    assert set(store.keys("indexes/first/")) == {MANIFEST, *(f.name for entry in manifest.shards for f in entry.files)}
    forget()
    local, remote = Index.open(tmp_path / "local"), Index.open(URL)
    assert answers(remote) == answers(local)
    assert len(answers(remote)) > 5
    assert remote.position_of("photo-77") == local.position_of("photo-77") == 77


def test_a_second_open_fetches_nothing_but_the_manifest(store: Store, build: Build, forget: Callable[[], None]) -> None:
    manifest = build(URL)
    forget()
    store.asked.clear()
    Index.open(URL)
    assert store.fetched() == {MANIFEST, *(file.name for entry in manifest.shards for file in entry.files)}
    Index.open(URL)
    assert store.fetched() == {MANIFEST}


def test_only_the_shards_that_are_opened_are_fetched(store: Store, build: Build, forget: Callable[[], None]) -> None:
    manifest = build(URL)
    forget()
    store.asked.clear()
    Index.open(URL, shards=[1])
    assert store.fetched() == {MANIFEST, *(file.name for file in manifest.shards[1].files)}


def test_a_new_generation_is_seen_and_only_what_is_new_is_fetched(
    store: Store, build: Build, forget: Callable[[], None]
) -> None:
    build(URL, shards=2)
    forget()
    assert Index.open(URL).documents == 100
    folder = local_folder(RemotePath(URL))
    before = {file: file.stat().st_mtime_ns for file in folder.glob("shard-*")}
    assert build(URL).generation == 2
    third = Index.open(URL)
    assert (third.manifest.generation, third.documents) == (2, 150)
    assert {file: file.stat().st_mtime_ns for file in before if "shard-00002" not in file.name}.items() <= {
        file: file.stat().st_mtime_ns for file in folder.glob("shard-*")
    }.items()


def test_a_copy_that_was_cut_is_fetched_again(store: Store, build: Build) -> None:
    build(URL)
    sound = answers(Index.open(URL))
    os.truncate(cached(".postings"), 5000)
    assert answers(Index.open(URL)) == sound
    assert verify_index(URL) == []


def test_a_copy_that_was_damaged_is_refused_by_name(store: Store, build: Build) -> None:
    build(URL)
    damaged = cached(".ids")
    content = bytearray(damaged.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    assert [damaged.name in problem for problem in verify_index(URL)].count(True) >= 1
    damaged.unlink()
    assert verify_index(URL) == []


def test_what_is_damaged_in_the_store_never_gets_into_the_cache(
    store: Store, build: Build, forget: Callable[[], None]
) -> None:
    manifest = build(URL)
    for file in (manifest.shards[0].postings, manifest.shards[1].stored):
        key = f"indexes/first/{file.name}"
        content = bytearray(store.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        sound, half = bytes(content), bytes(content[: len(content) // 2])
        content[len(content) // 2] ^= 1
        for damaged in (half, bytes(content)):
            store.client.put_object(Bucket=BUCKET, Key=key, Body=damaged)
            forget()
            with pytest.raises(IndexFormatError, match=f"{URL}/{file.name}: not the file that"):
                Index.open(URL)
            assert not list(local_folder(RemotePath(URL)).glob(f"{file.name}*"))
        store.client.put_object(Bucket=BUCKET, Key=key, Body=sound)
    assert answers(Index.open(URL))


def test_processes_that_fetch_at_once_end_well(store: Store, build: Build, forget: Callable[[], None]) -> None:
    manifest = build(URL)
    forget()
    store.asked.clear()
    program = f"from lexlip.index import Index; print(Index.open({URL!r}).documents)"
    running = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["150", "150"]
    contents = [path for method, path in store.asked if method == "GET" and MANIFEST not in path]
    assert len(contents) == len(set(contents)) == sum(len(entry.files) for entry in manifest.shards)


def test_a_local_index_is_where_it_is(store: Store, build: Build, tmp_path: Path) -> None:
    manifest = build(tmp_path)
    assert fetch(tmp_path, manifest.shards) == tmp_path
    assert store.asked == []


def test_an_index_is_changed_in_a_copy_and_copied_back(store: Store, build: Build, tmp_path: Path) -> None:
    build(URL)
    with pytest.raises(IndexFormatError, match="lexlip index copy"):
        delete_documents(URL, ["photo-3"])
    copy_index(URL, tmp_path / "mine")
    copy_index(URL, tmp_path / "stale")
    delete_documents(tmp_path / "mine", ["photo-3"])
    store.asked.clear()
    copy_index(tmp_path / "mine", URL)
    assert Index.open(URL).position_of("photo-3") is None
    written = [path for method, path in store.asked if method in ("PUT", "POST")]
    assert MANIFEST in written[-1]
    assert not any(name.endswith((".postings", ".stored", ".ids")) for name in written)
    delete_documents(tmp_path / "stale", ["photo-4"])
    with pytest.raises(IndexFormatError, match="generation 2"):
        copy_index(tmp_path / "stale", URL)


@pytest.mark.parametrize("url", ["s3://no-such-bucket/index", f"s3://{BUCKET}/nothing"])
def test_a_missing_bucket_or_folder_is_named(store: Store, build: Build, url: str) -> None:
    with pytest.raises(IndexFormatError, match=f"{url}: no index.json there"):
        Index.open(url)


def test_a_missing_file_is_named(store: Store, build: Build, forget: Callable[[], None]) -> None:
    lost = build(URL).shards[0].stored.name
    store.client.delete_object(Bucket=BUCKET, Key=f"indexes/first/{lost}")
    forget()
    with pytest.raises(StorageError, match=f"{URL}/{lost}: .*Check the bucket"):
        Index.open(URL)


def test_writing_to_a_missing_bucket_says_so(store: Store, build: Build) -> None:
    with pytest.raises(StorageError, match=r"s3://no-such-bucket/index/.*Check the bucket"):
        build("s3://no-such-bucket/index")


def test_an_unknown_scheme_says_so() -> None:
    with pytest.raises(StorageError, match="nosuch://bucket/index"):
        Index.open("nosuch://bucket/index")


def test_a_service_follows_and_stays_when_the_store_is_gone(
    store: Store, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(URL, shards=2)
    keeper = GenerationKeeper(URL, lambda: ShardGroup.open(URL, 0, 1), kept=2)
    assert (keeper.current.number, len(keeper.current.shards)) == (1, 2)
    assert not keeper.refresh()
    build(URL)
    assert keeper.refresh()
    assert (keeper.current.number, len(keeper.current.shards)) == (2, 3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert not keeper.refresh()
    assert "AWS_ENDPOINT_URL" in str(keeper.refused)
    assert keeper.current.number == 2
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.endpoint)
    keeper.refresh()
    assert keeper.refused is None


def test_refused_credentials_are_named(store: Store, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    build(URL)
    httpx.post(f"{store.endpoint}/moto-api/reset-auth", content=b"0")
    try:
        with pytest.raises(StorageError, match=f"{URL}/index.json: .*AWS_ACCESS_KEY_ID"):
            Index.open(URL)
    finally:
        httpx.post(f"{store.endpoint}/moto-api/reset-auth", content=b"inf")
