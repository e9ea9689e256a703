"""Where the demo leaves its things, and the advice to make them when a default is missing."""

from pathlib import Path

from lexlip.errors import DataError

DEMO = Path("out/demo")


def require(*locations: str | Path) -> None:
    """Checks that those of the locations that lie in the demo's folder are there; others are checked by their readers.

    Raises:
        DataError: one is missing; the message names the command that makes it.
    """
    for location in locations:
        path = Path(location)
        if path.is_relative_to(DEMO) and not path.exists():
            raise DataError(f"{path} is not there: `make demo` makes it (or `python pipelines/demo.py`)")
