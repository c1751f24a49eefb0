# mypy: ignore-errors
"""How the loops over gates are compiled.

numba counts references to every array that it hands to a function, atomically, and passes each array as six
or seven words. In a function called for every gate that took two thirds of the time of a whole plane (and
pushing arguments most of the rest). A function that allocates nothing may leave counting out, and a small one
that is part of its caller needs no arguments.
"""

from __future__ import annotations

from numba import njit

__all__ = ["inlined", "loop"]

loop = njit(cache=True, nogil=True, _nrt=False)
"""A loop over gates that allocates nothing: whatever it needs is handed in."""
inlined = njit(cache=True, nogil=True, _nrt=False, forceinline=True)
"""What is done for one gate, as a part of the loop that does it; allocates nothing."""
