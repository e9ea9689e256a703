"""How the engine's kernels are compiled, in one place.

They are compiled on first use and kept in the cache of numba, which lies in `__pycache__` beside the source, or,
where that cannot be written (a package installed read-only), in the folder named by the environment variable
NUMBA_CACHE_DIR. A kernel contains those that it calls, but numba looks only at its own file to see whether it is out of
date; so the cache is emptied whenever any file of the engine has changed.

Numba infers the types inside kernels from their arguments, which docstrings describe with shapes and units; mypy is
told to look at everything else.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

_ENGINE = Path(__file__).parent
_STAMP = "kernels-of"  # file that names the sources from which the cached kernels were compiled


def kernel(function: Callable[..., Any]) -> Any:
    """A function that is compiled on its first call and runs without the interpreter lock.

    Division follows numpy, which leaves no exceptions to compile.
    """
    return _fresh(njit(cache=True, nogil=True, error_model="numpy")(function))


def lean_kernel(function: Callable[..., Any]) -> Any:
    """A kernel that makes no array, compiled without counting references to those it works on.

    In loops of a few nanoseconds the counting, atomic as it is, took three quarters of the time.
    """
    without_counting: dict[str, Any] = {"_nrt": False}
    return _fresh(njit(cache=True, nogil=True, error_model="numpy", **without_counting)(function))


# A small function that becomes part of the kernels that use it.
inlined = njit(inline="always", error_model="numpy")


def _fresh(compiled: Any) -> Any:
    """The compiled function, once its cache holds nothing out of date."""
    forget_stale_kernels(Path(compiled.stats.cache_path))
    return compiled


@cache
def forget_stale_kernels(folder: Path) -> None:
    """Empties a cache folder whose kernels were compiled from other sources than the present ones."""
    sources = sorted((file.name, file.stat().st_mtime_ns, file.stat().st_size) for file in _ENGINE.glob("*.py"))
    present = "\n".join(f"{name} {changed} {size}" for name, changed, size in sources)
    stamp = folder / _STAMP
    if stamp.is_file() and stamp.read_text() == present:
        return
    for index in folder.glob("*.nbi"):  # of the kernels; without it numba does not find the code
        index.unlink(missing_ok=True)
    fresh = folder / f"{_STAMP}.tmp-{os.getpid()}"
    fresh.write_text(present)
    fresh.replace(stamp)
