"""The netCDF library is used by one thread at a time: it crashes the process where two are in it at once.

Threads of ours, of the caller, and of xarray (which has a lock of its own for this, taken here too) are kept
apart. The garbage collector is another way in: it may run on any thread, and closes files that xarray has
left open; on a thread that holds the lock it would wait for itself.

Source: "Thread-safety" in the documentation of netCDF-C and of xarray's backends.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

__all__ = ["netcdf_alone"]


@contextlib.contextmanager
def netcdf_alone() -> Iterator[None]:
    """No other thread is in the netCDF library, and no garbage is collected.

    What may be read lazily has to be read before: reading it takes the same lock.

    Example:
        >>> import gc
        >>> with netcdf_alone():
        ...     gc.isenabled()
        False
    """
    with NETCDF4_PYTHON_LOCK:
        collected = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collected:
                gc.enable()
