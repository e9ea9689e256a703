"""How the engine's kernels are compiled, in one place.

They are compiled on first use and kept in the cache of numba, which lies in `__pycache__` beside the source, or,
where that cannot be
written (a package installed read-only), in the folder named by the environment variable NUMBA_CACHE_DIR.

Numba infers the types inside kernels from their arguments, which docstrings describe with shapes and units; mypy is
told to look at everything else.
"""

from numba import njit

# A compiled function that runs without the interpreter lock. Division follows numpy, which leaves no exceptions to
# compile.
kernel = njit(cache=True, nogil=True, error_model="numpy")

# A small function that becomes part of the kernels that use it.
inlined = njit(inline="always", error_model="numpy")
