"""A replica that is ready has every kernel that a request may need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from lexlip.index import BuildSettings, build_shard, publish
from lexlip.tables import LEXICON_VECTOR_SCHEMA
from serve.app import compile_kernels

if TYPE_CHECKING:
    from conftest import ServedCorpus

# In a process of its own: in this one other tests have compiled already.
SEARCHES = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from serve.shards import ShardGroup, ShardQuery, warm

def compiled():
    return {
        (name, kernel, str(signature))
        for name, module in sorted(sys.modules.items()) if name.startswith("lexlip.")
        for kernel, value in vars(module).items() if isinstance(value, Dispatcher)
        for signature in value.signatures
    }

group = ShardGroup.open(sys.argv[1], 0, 2)
warm(group)
ready = compiled()
assert ready, "no kernels are known"
terms, weights = np.arange(3, dtype=np.int32), np.full(3, 0.5, np.float32)
for k in (1, 50):
    for excluded in ((), ((4,),), ((5, 6), (7,))):
        group.search(ShardQuery(group.state, terms, weights, k, excluded=excluded))
print(sorted(compiled() - ready))
"""


def test_no_search_waits_for_a_kernel_to_be_compiled(served_corpus: ServedCorpus) -> None:
    """Compiling takes longer than a request may: the first exclusion was answered from no shard."""
    found = subprocess.run(
        [sys.executable, "-c", SEARCHES, str(served_corpus.folder)], capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == "[]"


def test_an_index_without_documents_can_be_served_too(tmp_path: Path) -> None:
    vectors, folder, settings = tmp_path / "vectors.parquet", tmp_path / "index", BuildSettings()
    pq.write_table(LEXICON_VECTOR_SCHEMA.empty_table(), vectors)
    entry = build_shard([vectors], folder, 0, settings, vocabulary_terms=10)
    publish(folder, [entry], vocabulary_fingerprint="", model_fingerprint="", settings=settings, vocabulary_terms=10)
    assert entry.documents == 0
    compile_kernels(str(folder), 1)
