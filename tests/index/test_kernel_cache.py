"""Compiled kernels are kept only as long as no source of the engine changes."""

from pathlib import Path

from lexlip.index.kernel import forget_stale_kernels


def test_kernels_of_other_sources_are_forgotten_and_those_of_the_present_ones_kept(tmp_path: Path) -> None:
    forget = forget_stale_kernels.__wrapped__  # without the memory that it was done for this folder
    index, code = tmp_path / "bounds.add_gap_lists-22.py311.nbi", tmp_path / "bounds.add_gap_lists-22.py311.1.nbc"
    for stamp in (None, "bounds.py 1 2"):  # no stamp, and one of another state
        if stamp is not None:
            (tmp_path / "kernels-of").write_text(stamp)
        index.touch()
        code.touch()
        forget(tmp_path)
        assert not index.exists()
    index.touch()
    forget(tmp_path)
    assert index.exists()
    assert "kernel.py" in (tmp_path / "kernels-of").read_text()
