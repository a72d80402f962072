"""Memory of processes that run networks: keep what is freed, and recognise errors of exhausted memory."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
FULL = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""What CUDA, torch's allocator and cuBLAS write, in lower case."""


def keep_freed_memory() -> None:
    """Make the C library keep freed memory, where the library is glibc; others ignore this.

    Otherwise each layer gets new memory that the kernel zeroes page by page: a fifth of the time of a network on a
    processor (measured: docs/log.md, "Freed memory").
    """
    # other C libraries have no mallopt; on Windows, CDLL takes no None, which is a TypeError
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        # set at all, a threshold no longer follows the sizes of freed blocks, as glibc's does
        library.mallopt(M_MMAP_THRESHOLD, 2**30)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)  # the largest int


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory was exhausted; on a processor torch raises a plain `RuntimeError` for that."""
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in FULL)
