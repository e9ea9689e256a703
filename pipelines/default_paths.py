"""Where the demo leaves its things, what to do when a default is missing, and outputs that a job would lose."""

from itertools import pairwise
from pathlib import Path

from lexlip.errors import DataError
from lexlip.storage import Location, RemotePath

DEMO = Path("out/demo")
# A job submitted with --working-dir runs in a copy of that folder, which Ray keeps at such a place and removes.
COPIED_FOLDERS = ("runtime_resources", "working_dir_files")


def require(*locations: str | Path) -> None:
    """Checks that those of the locations that lie in the demo's folder are there; others are checked by their readers.

    Raises:
        DataError: one is missing; the message names the command that makes it.
    """
    for location in locations:
        path = Path(location)
        if path.is_relative_to(DEMO) and not path.exists():
            if in_copied_folder(path):
                raise DataError(
                    f"{path} does not travel with a submitted job: give an absolute path that every node sees"
                )
            raise DataError(f"{path} is not there: `make demo` makes it (or `python pipelines/demo.py`)")


def require_lasting(**outputs: str | Location | None) -> None:
    """Checks that outputs do not lie in the copy of the working directory that a submitted job runs in.

    Args:
        **outputs: by the option that gives them, without its dashes; None is not written.

    Raises:
        DataError: one would be lost when the job has ended.
    """
    for option, output in outputs.items():
        if output is not None and not isinstance(output, RemotePath) and in_copied_folder(Path(output)):
            raise DataError(
                f"--{option} {output}: lies in Ray's copy of the working directory, which is lost when the job has "
                "ended; give an absolute path that every node sees"
            )


def in_copied_folder(path: Path) -> bool:
    """Whether a path leads into a working directory that Ray copied for a job."""
    return COPIED_FOLDERS in pairwise(path.absolute().parts)
