"""A local file appears whole under its name, or not at all, and leaves nothing beside it."""

from pathlib import Path

import pytest

from lexlip.storage import whole_file


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "part.parquet"
    with whole_file(target) as temporary:
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_file_as_it_was_and_nothing_half_written(tmp_path: Path) -> None:
    target = tmp_path / "part.parquet"
    target.write_bytes(b"before")

    def write_half() -> None:
        with whole_file(target) as temporary:
            temporary.write_bytes(b"ha")
            raise ValueError("interrupted")

    with pytest.raises(ValueError, match="interrupted"):
        write_half()
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]
