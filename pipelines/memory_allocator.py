"""How glibc should hold memory for training on CPUs.

Tensors of many megabytes come and go at every step. By default glibc hands them back to the kernel each time, and page
faults took most of a training step on two cores; kept in the heap, in huge pages, they cost next to nothing.
"""

GLIBC_TUNABLES = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        "hugetlb": 1,
        "mmap_max": 0,
        "trim_threshold": 64 * 2**30,
        "top_pad": 256 * 2**20,
        "arena_max": 1,
    }.items()
)
