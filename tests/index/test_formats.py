"""An index of every released format stays readable; `format-1` was written by the version that introduced it."""

from pathlib import Path

import numpy as np
import pytest

from lexlip.index import Index, verify_index

FORMATS = sorted((Path(__file__).parent / "formats").iterdir())


@pytest.mark.parametrize("folder", FORMATS, ids=lambda folder: folder.name)
def test_released_formats_are_read(folder):
    assert verify_index(folder) == []
    index = Index.open(folder)
    assert index.documents == 130
    hits = index.search([3, 5], [1.0, 0.5], 3)
    np.testing.assert_array_equal(hits.positions, [15, 45, 60])
    np.testing.assert_allclose(hits.scores, 0.75, rtol=0.01)
    assert index.stored([15]) == [{"id": "photo-15", "captions": ["the number 15"]}]
    assert index.position_of("photo-30") is None, "deleted"
