"""Pairs, vectors and index of an encoding job, all behind one URL, on a Ray of their own that knows the store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lexlip.data.sources import open_pairs, read_unit
from lexlip.errors import DataError, StorageError
from lexlip.index import Index

REPOSITORY = Path(__file__).parents[2]
BUCKET = "photos"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Amazon's client of moto's S3 server with one empty bucket, and an environment that leads there."""
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "LEXLIP_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(REPOSITORY),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    yield client
    running.stop()


@pytest.mark.slow
def test_pairs_vectors_and_index_behind_a_url(store: Any, scenes: Path, tiny_lexlip: Path) -> None:
    for file in scenes.glob("*.parquet"):
        store.upload_file(str(file), BUCKET, f"pairs/{file.name}")
    pairs = open_pairs(f"s3://{BUCKET}/pairs")
    assert pairs.rows == open_pairs(f"s3://{BUCKET}/pairs/*.parquet").rows == open_pairs(str(scenes)).rows == 40
    ids = [image_id for unit in pairs.units for table in read_unit(unit) for image_id in table["image_id"].to_pylist()]
    command = [sys.executable, "pipelines/encode.py", "--model", str(tiny_lexlip), "--part-rows", "16", "--shards", "2"]
    command += ["--data", f"s3://{BUCKET}/pairs", "--vectors", f"s3://{BUCKET}/vectors"]
    command += ["--index", f"s3://{BUCKET}/index", "--top-terms", "12"]
    first = subprocess.run(command, cwd=REPOSITORY, env=dict(os.environ), capture_output=True, text=True)
    assert first.returncode == 0, first.stdout + first.stderr
    index = Index.open(f"s3://{BUCKET}/index")
    assert [row["id"] for row in index.stored(range(index.documents))] == ids
    names = [entry["Key"] for entry in store.list_objects_v2(Bucket=BUCKET, Prefix="vectors/")["Contents"]]
    assert len(names) == 5  # three parts, what made them, the summary
    store.delete_object(Bucket=BUCKET, Key=next(name for name in names if "part-00001" in name))
    again = subprocess.run(command, cwd=REPOSITORY, env=dict(os.environ), capture_output=True, text=True)
    assert "2 of 3 parts are already there" in again.stdout, again.stdout + again.stderr
    assert Index.open(f"s3://{BUCKET}/index").manifest.generation == 2


def test_a_missing_bucket_of_pairs_is_named(store: Any) -> None:
    with pytest.raises(DataError, match="s3://no-such-bucket/pairs: no such file or folder"):
        open_pairs("s3://no-such-bucket/pairs")


def test_a_store_that_does_not_answer_is_named(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=r"s3://photos/pairs: .*AWS_ENDPOINT_URL"):
        open_pairs(f"s3://{BUCKET}/pairs")
