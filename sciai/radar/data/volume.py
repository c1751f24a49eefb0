"""`open_volume`: any radar file, set of files, or tree -> one volume in FM301 / CfRadial2 naming."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr

from sciai.core.errors import BadInput, DamagedStore, SciaiError
from sciai.radar.data.arguments import path_of
from sciai.radar.data.heritage import heritage_of, with_heritage
from sciai.radar.data.memory import hand_back
from sciai.radar.data.merge import merge_volumes
from sciai.radar.data.tidy import tidy_tree

Source = str | os.PathLike[str] | xr.DataTree | xr.Dataset


def open_volume(source: Source | Sequence[str | os.PathLike[str]]) -> xr.DataTree:
    """Open a radar volume, whatever its format; the format is told by the content, not by the name.

    Reads NEXRAD and TDWR Level II (1991 to today, also the chunks of a real-time volume), ODIM_H5,
    CfRadial 1 and 2,
    IRIS RAW, GAMIC, Rainbow, FURUNO, IMD netCDF and MP-PAWR raw, each also gzipped or bzip2ed, and stores
    written by
    sciai. Several files make one volume: one variable per file, one sweep per file, or the chunks of one
    NEXRAD volume.

    Args:
        source: a path, a list of paths, or a tree or dataset already in memory (which gets standard names and
            companions; it is not altered).

    Returns:
        Root with ``latitude``, ``longitude``, ``altitude`` and one child ``sweep_<i>`` per sweep in the
        order of the
        file; dims (azimuth or elevation, range), rays sorted by that angle. Fields are float32, NaN where
        invalid,
        each beside ``<VAR>_validity`` (0 valid, 1 below noise, 2 missing). ``VAR.encoding`` keeps the
        source's packing. The root's ``history`` tells of lossy stores that it was decoded from.

    Raises:
        BadInput: missing path, empty, truncated or unknown file, no data variable, files that do not
            belong together.
        DamagedStore: a store whose ``zarr.json`` or chunks were altered.

    Example:
        >>> from sciai.radar.data import simulate
        >>> volume = open_volume(simulate(seed=1, shape=(2, 36, 60)))
        >>> volume["sweep_0/DBZH_validity"].attrs["flag_meanings"]
        'valid below_noise missing'
    """
    if isinstance(source, xr.Dataset):
        slashed = [str(n) for n in source.variables if "/" in str(n)]
        if slashed:
            raise BadInput("a variable whose name has a slash", field=slashed[0], fix="rename it")
        return with_heritage(tidy_tree(xr.DataTree.from_dict({"/sweep_0": source})), heritage_of(source))
    if isinstance(source, xr.DataTree):
        return with_heritage(tidy_tree(source), heritage_of(source))
    if isinstance(source, str | os.PathLike):
        source = [source]
    if not isinstance(source, Sequence):
        raise BadInput(
            f"cannot open a {type(source).__name__} as a radar volume", fix="give a path, paths or a DataTree"
        )
    if isinstance(source, bytes | bytearray):
        raise BadInput(
            "bytes are not a radar volume", field="source", fix="write them to a file and give its path"
        )
    paths = [path_of(p, "source", "volume.h5") for p in source]
    if not paths:
        raise BadInput("an empty list of files", field="source", fix="give at least one path")
    volume = _open_paths(paths)
    hand_back()
    return volume


def _open_paths(paths: Sequence[Path]) -> xr.DataTree:
    if len(paths) == 1:
        return _open_one(paths[0])
    chunks = _join_chunks(paths)
    if chunks is not None:
        return _decode(chunks, str(paths[0]))
    return merge_volumes([(str(p), _open_one(p)) for p in paths])


def _open_one(path: Path) -> xr.DataTree:
    if path.is_dir():
        if (path / "zarr.json").exists():
            return _open_store(path)
        raise BadInput("a folder, not a radar file", file=path, fix="give the files in it")
    return _decode(_read(path), str(path))


def _open_store(path: Path) -> xr.DataTree:
    try:
        stored = xr.open_datatree(path, engine="zarr", chunks=None)
    except (SciaiError, MemoryError):
        raise
    except Exception as e:  # zarr and xarray name neither the store nor its zarr.json
        raise DamagedStore(
            f"{path}: zarr.json does not describe a volume ({type(e).__name__}: {e}); restore it from a copy"
        ) from e
    return with_heritage(tidy_tree(stored), heritage_of(stored))


def _read(path: Path) -> bytes:
    """The file's bytes, unpacked if gzipped or bzip2ed."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadInput("no such file", file=path, fix="check the path") from None
    except OSError as e:
        raise BadInput(
            f"cannot read the file: {e.strerror}", file=path, fix="check the path and its permissions"
        ) from e
    if not data:
        raise BadInput("the file is empty", file=path, fix="get it again")
    try:
        if data[:2] == b"\x1f\x8b":
            return gzip.decompress(data)
        if data[:3] == b"BZh":
            return bz2.decompress(data)
    except (EOFError, OSError, ValueError, zlib.error) as e:
        raise BadInput(
            f"the compressed file is truncated or damaged: {e}", file=path, fix="get it again"
        ) from e
    return data


def _join_chunks(paths: Sequence[Path]) -> bytes | None:
    """Real-time NEXRAD chunks in order -> one volume; None if these files are something else."""
    from sciai.radar.data.nexrad import is_chunk, is_nexrad

    heads = []
    for p in paths:
        try:
            with open(p, "rb") as f:
                heads.append(f.read(16))
        except OSError:
            return None
    starts = [i for i, h in enumerate(heads) if is_nexrad(h)]
    if len(starts) != 1 or not all(is_chunk(h) for i, h in enumerate(heads) if i not in starts):
        return None
    if starts != [0]:
        raise BadInput(
            "the chunk with the volume header is not the first", file=paths[starts[0]], fix="sort the chunks"
        )
    return b"".join(p.read_bytes() for p in paths)


def _decode(data: bytes, name: str) -> xr.DataTree:
    kind = detect(data, name)
    if kind == "unknown" and data[:4] == b"PK\x03\x04":
        raise BadInput("a zip archive, not a radar file", file=name, fix="unzip it, and give what is in it")
    if kind == "unknown":
        raise BadInput(
            "not a radar file of a known format",
            file=name,
            fix="known: NEXRAD Level II, ODIM_H5, CfRadial, IRIS, GAMIC, Rainbow, FURUNO, IMD, MP-PAWR raw",
        )
    try:
        return _reader(kind)(data, name)
    except BadInput:
        raise
    except (OSError, KeyError, IndexError, ValueError, RuntimeError, TypeError, OverflowError) as e:
        problem = f"this {kind} file is truncated or damaged ({type(e).__name__}: {e})"
        raise BadInput(problem, file=name, fix="get it again") from e


def _reader(kind: str) -> Callable[[bytes, str], xr.DataTree]:
    if kind == "nexrad":
        from sciai.radar.data.nexrad import read_nexrad

        return read_nexrad
    if kind == "odim":
        from sciai.radar.data.odim import read_odim

        return read_odim
    if kind == "netcdf":
        from sciai.radar.data.netcdf import read_netcdf

        return read_netcdf
    if kind == "pawr":
        from sciai.radar.data.pawr import read_pawr

        return read_pawr
    from sciai.radar.data.through_xradar import read_through_xradar

    return lambda data, name: read_through_xradar(data, name, kind)


def detect(data: bytes, name: str | None = None) -> str:
    """Format of a file from its content.

    Args:
        data: the whole file, unpacked.
        name: file name for messages.

    Returns:
        ``nexrad``, ``odim``, ``gamic``, ``netcdf``, ``iris``, ``rainbow``, ``furuno``, ``pawr`` or
        ``unknown``.

    Example:
        >>> detect(b"AR2V0006.001" + bytes(40)), detect(b"hello")
        ('nexrad', 'unknown')
    """
    from sciai.radar.data.nexrad import is_nexrad
    from sciai.radar.data.pawr import is_pawr

    if is_nexrad(data):
        return "nexrad"
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        return _detect_hdf5(data, name)
    if data[:3] == b"CDF":
        return "netcdf"
    if data[:200].lstrip()[:7] == b"<volume" or (b"<volume" in data[:2000] and data[:5] == b"<?xml"):
        return "rainbow"
    # IRIS: structure header of a product (identifier 27), format version, and a record of 6144 bytes
    # behind it
    if data[:2] == b"\x1b\x00" and data[12:14] == b"\x1a\x00" and len(data) > 6144:
        return "iris"
    if is_pawr(data):
        return "pawr"
    if _is_furuno(data):
        return "furuno"
    return "unknown"


def _detect_hdf5(data: bytes, name: str | None) -> str:
    import h5py

    from sciai.radar.data.odim import is_odim

    try:
        with h5py.File(io.BytesIO(data), "r") as h5:
            if "scan0" in h5 and any(k.startswith("moment_") for k in h5["scan0"]):
                return "gamic"
            if is_odim(h5):
                return "odim"
            names = set(h5)
    except (OSError, RuntimeError, KeyError) as e:
        raise BadInput(f"this HDF5 file is truncated or damaged ({e})", file=name, fix="get it again") from e
    if "range" in names or any(n.startswith("sweep") for n in names) or "radialAzim" in names:
        return "netcdf"
    return "unknown"


def _is_furuno(data: bytes) -> bool:
    """FURUNO scn / scnx: header size, then version 3, 10 or 103, then a plausible year."""
    size, version, year = (int.from_bytes(data[i : i + 2], "little") for i in (0, 2, 4))
    return version in (3, 10, 103) and 40 <= size <= 1024 and 1990 <= year <= 2100


__all__ = ["detect", "open_volume"]
