"""Adding, deleting and merging: every state is whole, and a kill at any step leaves the state before or after."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from lexlip.errors import IndexFormatError
from lexlip.index import BuildSettings, Index
from lexlip.index.grow import add_documents, delete_documents, merge_shards, remove_unreferenced, unreferenced_files
from lexlip.index.verify import verify_index


def answers(index, brute_force, seed=0):
    """Checks some searches against brute force and returns the ids found."""
    random = np.random.default_rng(seed)
    found = []
    for size in (1, 3, 9, 30):
        terms, weights = random.choice(300, size, replace=False), random.random(size) + 0.01
        hits = index.search(terms, weights, 15)
        positions, scores = brute_force(index, terms, weights, 15)
        np.testing.assert_array_equal(hits.positions, positions)
        np.testing.assert_array_equal(hits.scores, scores)
        found.append([row["id"] for row in index.stored(hits.positions)])
    return found


@pytest.fixture
def folder(tmp_path, make_collection, build_index):
    """600 documents in two shards."""
    return build_index(
        make_collection(600),
        tmp_path / "index",
        shards=2,
        settings=BuildSettings(maximum_weight=1.0, keep_exact_weights=True),
    )


def test_added_documents_are_found_and_replace_those_with_their_id(
    folder, tmp_path, make_collection, write_vectors, brute_force
):
    other = make_collection(50, seed=7)
    old_reader = Index.open(folder)
    manifest = add_documents(folder, [write_vectors(other, tmp_path / "new.parquet")])  # photo-0 to photo-49 again
    assert (manifest.generation, manifest.documents) == (2, 600)
    index = Index.open(folder)
    assert index.documents == 650, "replaced documents keep their positions until shards are merged"
    assert index.position_of("photo-7") == 607
    np.testing.assert_array_equal(index.vector(607).terms, other.vector(7).terms)
    answers(index, brute_force)
    assert old_reader.position_of("photo-7") == 7, "an open reader keeps the state it opened"
    answers(old_reader, brute_force)
    add_documents(folder, [write_vectors(other, tmp_path / "more.parquet", prefix="fresh")])
    assert Index.open(folder).manifest.documents == 650
    assert verify_index(folder) == []


def test_a_state_is_told_from_one_of_an_index_built_anew_in_its_place(folder, tmp_path, make_collection, build_index):
    state = Index.open(folder).manifest.state
    assert Index.open(folder).manifest.state == state
    folder.rename(tmp_path / "away")
    build_index(make_collection(600, seed=1), folder, shards=2, settings=BuildSettings(maximum_weight=1.0))
    again = Index.open(folder).manifest
    assert again.generation == 1
    assert again.state != state


def test_deleted_documents_are_not_found(folder, brute_force):
    first = answers(Index.open(folder), brute_force)
    gone = sorted({name for names in first for name in names[:3]})
    manifest, count = delete_documents(folder, [*gone, "nobody"])
    assert count == len(gone)
    assert manifest.documents == 600 - len(gone)
    index = Index.open(folder)
    assert not set(gone) & {name for names in answers(index, brute_force) for name in names}
    assert index.position_of(gone[0]) is None
    assert delete_documents(folder, gone) == (manifest, 0), "nothing to delete, nothing published"
    allowed = np.zeros(index.documents, bool)
    allowed[:100] = True
    hits = index.search([1, 2, 3], [1.0, 1.0, 1.0], 1000, allowed=allowed)
    np.testing.assert_array_equal(hits.positions, brute_force(index, [1, 2, 3], [1.0, 1.0, 1.0], 1000, allowed)[0])


def test_merging_changes_no_answer_but_lets_deleted_documents_go(folder, brute_force):
    delete_documents(folder, [f"photo-{number}" for number in range(0, 600, 7)])
    before = Index.open(folder)
    found = answers(before, brute_force)
    manifest = merge_shards(folder)
    assert [entry.deleted for entry in manifest.shards] == [0]
    after = Index.open(folder)
    assert after.documents == before.manifest.documents == manifest.documents
    assert answers(after, brute_force) == found
    assert after.search([1, 2], [1.0, 0.5], 5, rerank=50).scores.size == 5
    assert verify_index(folder) == []
    left_over = unreferenced_files(folder)
    assert left_over
    freed = sum(file.stat().st_size for file in left_over)
    assert remove_unreferenced(folder) == freed
    assert unreferenced_files(folder) == []
    assert answers(Index.open(folder), brute_force) == found


def test_shards_of_different_quantisation_merge(folder, tmp_path, make_collection, write_vectors, brute_force):
    other = write_vectors(make_collection(80, seed=3), tmp_path / "new.parquet", prefix="coarse")
    add_documents(folder, [other], settings=BuildSettings(impact_bits=4))
    merge_shards(folder)
    index = Index.open(folder)
    assert index.documents == 680
    answers(index, brute_force)


def test_merging_some_shards_leaves_the_others(folder, tmp_path, make_collection, write_vectors, brute_force):
    add_documents(folder, [write_vectors(make_collection(70, seed=3), tmp_path / "new.parquet", prefix="third")])
    names = [entry.postings.name for entry in Index.open(folder).manifest.shards]
    merge_shards(folder, [0, 2])
    index = Index.open(folder)
    assert [entry.documents for entry in index.manifest.shards] == [370, 300]
    assert index.manifest.shards[1].postings.name == names[1]
    answers(index, brute_force)
    with pytest.raises(IndexFormatError, match="no shard 99"):
        merge_shards(folder, [99])


def test_everything_can_be_deleted(folder):
    delete_documents(folder, [f"photo-{number}" for number in range(600)])
    assert len(Index.open(folder).search([1, 2, 3], [1.0, 1.0, 1.0])) == 0
    merge_shards(folder)
    assert Index.open(folder).documents == 0


def killed_at(step, change):
    """Runs `change` in a child that is killed at its step-th file operation; returns whether it came to its end
    before.
    """
    child = os.fork()
    if child == 0:
        count = 0

        def counting(operation):
            def run(*arguments, **options):
                nonlocal count
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1
                return operation(*arguments, **options)

            return run

        status = 1
        try:
            os.fsync = counting(os.fsync)
            Path.replace = counting(Path.replace)
            Path.open = counting(Path.open)
            change()
            status = 0
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


@pytest.mark.parametrize("change", ["add", "delete", "merge"])
def test_a_kill_at_any_step_leaves_the_old_state_or_the_new(
    folder, tmp_path, make_collection, write_vectors, brute_force, change
):
    new = write_vectors(make_collection(40, seed=5), tmp_path / "new.parquet", prefix="new")
    changes = {
        "add": lambda: add_documents(folder, [new]),
        "delete": lambda: delete_documents(folder, ["photo-5", "photo-400"]),
        "merge": lambda: merge_shards(folder),
    }
    before = Index.open(folder).manifest
    for step in range(200):
        done = killed_at(step, changes[change])
        now = Index.open(folder).manifest
        assert now.generation in (before.generation, before.generation + 1)
        assert verify_index(folder) == []
        if now.generation != before.generation:
            break
    else:
        pytest.fail("the change never came to its end")
    assert done or step > 3
    changes["add"]()
    answers(Index.open(folder), brute_force)
