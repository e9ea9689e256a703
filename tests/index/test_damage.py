"""No damage goes unseen: verification finds every changed byte, and a reader answers rightly or says what is wrong."""

import shutil

import numpy as np
import pytest

from lexlip.errors import LexLIPError
from lexlip.index import BuildSettings, Index
from lexlip.index.grow import delete_documents
from lexlip.index.verify import verify_index

CORRUPTIONS = 1_000
SUFFIXES = ("postings", "stored", "ids", "weights", "deleted", "json")


@pytest.fixture(scope="module")
def sound(tmp_path_factory, make_collection, build_index):
    """An index with a file of every type."""
    settings = BuildSettings(keep_exact_weights=True, maximum_weight=1.0)
    folder = build_index(make_collection(300, mean_terms=8), tmp_path_factory.mktemp("sound"), settings=settings)
    delete_documents(folder, ["photo-3", "photo-250"])
    return folder


def corrupt(content, random):
    """Flips a bit, cuts the end off, or zeroes some bytes; never gives back the same content."""
    while True:
        kind = random.integers(3)
        changed = bytearray(content)
        if kind == 0:
            changed[random.integers(len(content))] ^= 1 << random.integers(8)
        elif kind == 1:
            changed = changed[: random.integers(len(content))]
        else:
            start = random.integers(len(content))
            length = int(2 ** random.uniform(0, 12))
            changed[start : start + length] = bytes(len(changed[start : start + length]))
        if changed != content:
            return bytes(changed)


def everything(folder):
    """What a reader can get out of an index."""
    index = Index.open(folder)
    hits = index.search(np.arange(40), np.linspace(0.1, 1, 40), 30, rerank=40)
    hits_of_one = index.search([7], [1.0], 5)
    rows = index.stored([0, 100, 299])
    return (
        hits.positions.tolist(),
        hits.scores.tolist(),
        hits_of_one.positions.tolist(),
        rows,
        index.position_of("photo-299"),
        index.position_of("photo-3"),
        index.vector(17).weights.tolist(),
        index.contributions(5, np.arange(10), np.ones(10)).tolist(),
    )


def test_a_thousand_corruptions_are_all_found_and_never_answered_wrongly(sound, tmp_path):
    truth = everything(sound)
    folder = tmp_path / "copy"
    shutil.copytree(sound, folder)
    files = {suffix: next(folder.glob(f"*.{suffix}")) for suffix in SUFFIXES}
    contents = {suffix: file.read_bytes() for suffix, file in files.items()}
    random = np.random.default_rng(20_26)
    refusals = []
    for number in range(CORRUPTIONS):
        suffix = SUFFIXES[number % len(SUFFIXES)]
        file = files[suffix]
        file.unlink()  # a fresh file, because the old one may still be mapped
        file.write_bytes(corrupt(contents[suffix], random))
        try:
            found = bool(verify_index(folder))
        except LexLIPError:
            found = True
        assert found, f"corruption {number} of {file.name} was not found"
        try:
            assert everything(folder) == truth, f"corruption {number} of {file.name} gave a wrong answer"
        except LexLIPError as error:
            refusals.append(str(error))
        file.unlink()
        file.write_bytes(contents[suffix])
    assert len(refusals) > CORRUPTIONS / 2
    assert all(str(folder) in message for message in refusals)
    assert everything(folder) == truth


def test_files_of_another_index_are_refused(sound, tmp_path, make_collection, build_index):
    settings = BuildSettings(keep_exact_weights=True, maximum_weight=1.0)
    other = build_index(make_collection(300, seed=9), tmp_path / "other", settings=settings)
    folder = tmp_path / "mixed"
    shutil.copytree(sound, folder)
    for suffix in ("postings", "weights"):
        target = next(folder.glob(f"*.{suffix}"))
        original = target.read_bytes()
        target.write_bytes(next(other.glob(f"*.{suffix}")).read_bytes()[: len(original)].ljust(len(original), b"\0"))
        with pytest.raises(LexLIPError):
            everything(folder)
        assert verify_index(folder)
        target.write_bytes(original)
    assert verify_index(folder) == []
