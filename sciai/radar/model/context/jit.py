# mypy: ignore-errors
"""How the loops over gates are compiled.

numba counts references to every array that it hands to a function, atomically, and passes each array as six
or seven words. In a function called for every gate that took two thirds of the time of a whole plane (and
pushing arguments most of the rest). A function that allocates nothing may leave counting out, and a small one
that is part of its caller needs no arguments.
"""

from __future__ import annotations

from numba import njit

__all__ = ["OPTIONS", "inlined", "loop"]


def _same(x):
    return x


def _uncounted():
    """The option that leaves counting out; none where numba does not take it: slower, the same results.

    It is numba's own affair, not among what its documentation promises. Only its compiler says so of an
    option that it does not know, so that is asked, without compiling anything.
    """
    option = {"_nrt": False}
    try:
        from numba.core.compiler import Flags

        njit(_same).targetdescr.options.parse_as_flags(Flags(), option)
    except Exception:  # whatever another version says, or nothing to ask where numba compiles nothing
        return {}
    return option


OPTIONS = _uncounted()
"""What numba takes of the options that only save time."""
loop = njit(cache=True, nogil=True, **OPTIONS)
"""A loop over gates that allocates nothing: whatever it needs is handed in."""
inlined = njit(cache=True, nogil=True, forceinline=True, **OPTIONS)
"""What is done for one gate, as a part of the loop that does it; allocates nothing."""
