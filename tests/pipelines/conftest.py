"""Vectors that several tests of the pipelines read."""

from pathlib import Path

import pytest

from pipelines.encoding import EncodeSettings, encode_corpus


@pytest.fixture(scope="session")
def vectors(ray_session: None, tiny_lexlip: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes encoded by the tiny model, in three parts. Read only; copy what you change."""
    folder = tmp_path_factory.mktemp("encoded") / "vectors"
    encode_corpus(tiny_lexlip, str(scenes), folder, EncodeSettings(top_terms=12, part_rows=16, thumbnail_pixels=32))
    return folder
