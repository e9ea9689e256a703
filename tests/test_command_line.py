"""The command `lexlip index`."""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexlip import command_line
from lexlip.index import BuildSettings, build_shard, publish


@pytest.fixture
def folder(tmp_path):
    """An index of 20 documents."""
    table = pa.table(
        {
            "id": [f"photo-{row}" for row in range(20)],
            "terms": pa.array([[row % 5, 7] for row in range(20)], pa.list_(pa.int32())),
            "weights": pa.array(np.full((20, 2), 0.5).tolist(), pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, tmp_path / "vectors.parquet")
    folder = tmp_path / "index"
    entry = build_shard([tmp_path / "vectors.parquet"], folder, 0, BuildSettings(), vocabulary_terms=10)
    publish(
        folder,
        [entry],
        vocabulary_fingerprint="v",
        model_fingerprint="m",
        settings=BuildSettings(),
        vocabulary_terms=10,
    )
    return folder


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["lexlip", *map(str, arguments)])
    return command_line.main()


def test_verify_says_whether_an_index_is_sound(monkeypatch, capsys, folder):
    assert run(monkeypatch, "index", "verify", folder) == 0
    assert "generation 1 with 20 documents is sound" in capsys.readouterr().out
    postings = next(folder.glob("*.postings"))
    content = bytearray(postings.read_bytes())
    content[-100] ^= 1
    postings.write_bytes(content)
    assert run(monkeypatch, "index", "verify", folder) == 1
    assert postings.name in capsys.readouterr().err


def test_what_is_no_index_is_one_line_and_status_2(monkeypatch, capsys, tmp_path):
    assert run(monkeypatch, "index", "info", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no index.json there" in error


def test_deleting_merging_and_cleaning(monkeypatch, capsys, folder):
    assert run(monkeypatch, "index", "delete", folder, "photo-3", "photo-4") == 0
    assert "2 document(s) deleted; generation 2 with 18 documents" in capsys.readouterr().out
    assert run(monkeypatch, "index", "merge", folder) == 0
    assert run(monkeypatch, "index", "info", folder) == 0
    out = capsys.readouterr().out
    assert "18 documents, 0 deleted" in out
    assert "belong to no published state" in out
    assert run(monkeypatch, "index", "clean", folder) == 0
    assert run(monkeypatch, "index", "verify", folder) == 0
