"""Memory of processes that run networks: what is freed is kept, and what failed for want of it is told."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h
FULL = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def keep_freed_memory() -> None:
    """Let the C library keep what is freed: each layer would get its memory anew, zeroed page by page.

    A fifth of the time of a network on a processor; glibc alone knows these settings.
    """
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 2**30)
        library.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def is_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory; torch has no kind of error for that on a processor."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in FULL)
