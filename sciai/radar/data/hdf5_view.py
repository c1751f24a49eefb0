"""A netCDF-4 file read through h5py, as the readers here see any netCDF file.

Not through the netCDF library: where it reads texts while another file with texts is open (which xarray keeps
open, of whoever asked for it) it uses memory that HDF5 has given back, and the process crashes
(Unidata/netcdf-c 2510, HDFGroup/hdf5 5359). And it is no place for two threads, which h5py is.

Source: "NetCDF-4 File Format" (appendix C of the NetCDF User Guide): dimensions are HDF5 dimension scales.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["Group", "Variable", "netcdf4_file"]

_HIDDEN: Final = frozenset(
    {
        "REFERENCE_LIST", "CLASS", "DIMENSION_LIST", "NAME", "_Netcdf4Dimid", "_Netcdf4Coordinates",
        "_nc3_strict", "_NCProperties", "DIMENSION_LABELS",
    }
)  # fmt: skip
_NUMBER: Final = b"_Netcdf4Dimid"
_NUMBERS: Final = b"_Netcdf4Coordinates"
_NO_VARIABLE: Final = b"This is a netCDF dimension but not a netCDF variable"
_RENAMED: Final = "_nc4_non_coord_"  # a variable with the name of a dimension that is not its own


def netcdf4_file(data: bytes) -> Group:
    """The root group of a file.

    Args:
        data: the whole file.

    Raises:
        OSError: it is no HDF5 file, a damaged one, one behind other data (a user block), or one with
            variables that are shorter than their unlimited dimension, which the library fills up.
    """
    file = h5py.File(io.BytesIO(data), "r")
    if file.userblock_size:
        raise OSError("the file begins with a user block")
    group = Group(file, None)
    lengths: dict[int, int] = {}
    for scale, length in group.grown():
        if lengths.setdefault(scale, length) != length:
            group.__exit__()
            raise OSError("variables of one unlimited dimension differ in length")
    return group


class _Attributed:
    """What has attributes, under the names that netCDF4 gives to what reads them.

    All below goes through h5py's lower interface: what it wraps around each object takes longer than that.
    """

    id: Any

    def ncattrs(self) -> list[str]:
        """Names of the attributes."""
        found: list[bytes] = []
        h5py.h5a.iterate(self.id, found.append)
        return [k for k in (name.decode() for name in found) if k not in _HIDDEN]

    def getncattr(self, name: str) -> Any:
        """An attribute: text, number, array of numbers or list of texts."""
        held = h5py.h5a.open(self.id, name.encode())
        if held.shape is None:
            return ""
        values = np.empty(held.shape, held.dtype)
        held.read(values)
        if values.dtype.kind in "SO":
            texts = [_text(t) for t in values.ravel()]
            return texts[0] if len(texts) == 1 else texts
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        return values.ravel()[0] if values.size == 1 else values


def _text(value: Any) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "")


def _scales(h5: Any, k: int) -> list[int]:
    """Where the scales of dimension ``k`` of a variable lie in the file."""
    found: list[int] = []
    h5py.h5ds.iterate(h5, k, lambda scale: found.append(h5py.h5o.get_info(scale).addr))
    return found


class Group(_Attributed):
    """A group: ``groups``, ``variables`` and ``dimensions`` by name, in the order in which they were made."""

    def __init__(self, h5: Any, parent: Group | None) -> None:
        self._h5, self._parent = h5, parent  # the file is open as long as this is held
        self.id = h5.id if parent is None else h5
        # by where they lie in the file: for a name HDF5 would search the whole of it
        self.scales: dict[int, str] = {} if parent is None else parent.scales
        self._growing: list[Any] = []
        self.groups: dict[str, Group] = {}
        self.variables: dict[str, Variable] = {}
        self.dimensions: dict[str, range] = {}
        group = h5py.h5g.open(self.id, b"/") if parent is None else h5
        for encoded in group:
            try:
                found = h5py.h5o.open(group, encoded)
            except KeyError:  # a link that leads nowhere
                continue
            name = encoded.decode("utf-8", "replace")
            if isinstance(found, h5py.h5g.GroupID):
                self.groups[name] = Group(found, self)
            elif isinstance(found, h5py.h5d.DatasetID):
                self._add(name, found)

    def grown(self) -> Iterator[tuple[int, int]]:
        """Where the scale of an unlimited dimension lies in the file, and its length, by each that has it."""
        for h5 in self._growing:
            for k, most in enumerate(h5.get_space().get_simple_extent_dims(True)):
                if most == h5py.h5s.UNLIMITED:
                    scale = h5py.h5ds.is_scale(h5) and h5py.h5o.get_info(h5).addr
                    yield from ((at, h5.shape[k]) for at in ([scale] if scale else _scales(h5, k)))
        for group in self.groups.values():
            yield from group.grown()

    def _add(self, name: str, h5: Any) -> None:
        if h5.shape and h5py.h5s.UNLIMITED in h5.get_space().get_simple_extent_dims(True):
            self._growing.append(h5)
        scale = h5py.h5ds.is_scale(h5)
        if scale:
            self.dimensions[name] = range((h5.shape or (0,))[0])
            self.scales[h5py.h5o.get_info(h5).addr] = name
            if h5py.h5ds.get_scale_name(h5).startswith(_NO_VARIABLE):
                return
        plain = name.removeprefix(_RENAMED)
        self.variables[plain] = Variable(h5, plain, self, scale)

    def named(self, number: int) -> str:
        """Name of a dimension of this group or of one above it, by the number that the library gave it."""
        for name in self.dimensions:
            scale = _Attributed()
            scale.id = h5py.h5o.open(self.id, name.encode())
            if h5py.h5a.exists(scale.id, _NUMBER) and int(scale.getncattr(_NUMBER.decode())) == number:
                return name
        return self._parent.named(number) if self._parent is not None else ""

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *_: object) -> None:
        self._h5.close()
        self._let_go()

    def _let_go(self) -> None:
        """Without circles: values and the file are given back at once, not when garbage is collected."""
        for group in self.groups.values():
            group._let_go()
        self.groups.clear()
        self.variables.clear()
        self._growing.clear()


class Variable(_Attributed):
    """A variable: values are raw, in the machine's byte order; texts are bytes."""

    def __init__(self, h5: Any, name: str, group: Group, scale: bool) -> None:
        self.id, self.name, self._group, self._scale = h5, name, group, scale
        self.shape: tuple[int, ...] = h5.shape or ()
        self.ndim = len(self.shape)
        self._block: tuple[int, int, NDArray[Any] | None] = (0, 0, None)

    @cached_property
    def dtype(self) -> Any:
        """As in numpy; ``str`` of texts."""
        found = self.id.dtype
        return str if found.kind == "O" and h5py.check_string_dtype(found) else found

    @cached_property
    def dimensions(self) -> tuple[str, ...]:
        """Names of the dimensions; empty ones where the file names none."""
        if self._scale and self.ndim == 1:
            return (self.name,)
        if self._scale:
            if not h5py.h5a.exists(self.id, _NUMBERS):
                return ("",) * self.ndim
            return tuple(self._group.named(int(k)) for k in np.ravel(self.getncattr(_NUMBERS.decode())))
        return tuple(self._names())

    def _names(self) -> Iterator[str]:
        for k in range(self.ndim):
            found = _scales(self.id, k)
            yield self._group.scales.get(found[0], "") if found else ""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, pick: Any) -> NDArray[Any]:
        if self.ndim == 0 or pick is Ellipsis or pick == slice(None):
            return self._read(())
        if not isinstance(pick, slice) or pick.step is not None:
            return np.asarray(self._read(())[pick])
        start, stop, _ = pick.indices(self.shape[0])
        low, high, block = self._block
        if block is None or not low <= start <= stop <= high:
            # whole chunks, kept for the sweep that comes next: HDF5 would unpack them anew for each in them
            rows = self._chunk()[0]
            low, high = start // rows * rows, min(-(-stop // rows) * rows, self.shape[0])
            block = self._read(slice(low, high))
            self._block = low, high, block
        return block[start - low : stop - low]

    def _chunk(self) -> tuple[int, ...]:
        made = self.id.get_create_plist()
        return tuple(made.get_chunk()) if made.get_layout() == h5py.h5d.CHUNKED else (1,)

    def _read(self, pick: Any) -> NDArray[Any]:
        values = np.asarray(h5py.Dataset(self.id)[pick])
        return values.astype(values.dtype.newbyteorder("="), copy=False)
