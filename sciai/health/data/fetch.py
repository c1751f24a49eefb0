"""Brings NHANES component files from the CDC (or a mirror) and merges them into one table.

Each file's SHA-256 is recorded at the first download (the CDC publishes none) and held against it afterwards.

Source: https://wwwn.cdc.gov/nchs/nhanes/
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput, SciaiError
from sciai.health.data.nhanes import component_files, merge, read_xpt, rules

__all__ = ["BASE_URL", "FetchFailed", "Fetched", "fetch_nhanes"]

BASE_URL: Final = "https://wwwn.cdc.gov/Nchs/Data/Nhanes/Public"
_TIMEOUT: Final = 30.0
_RECORD: Final = "SHA256.json"


class FetchFailed(SciaiError):
    """The CDC (or the mirror) cannot be reached, or a file is not what it was."""


@dataclass(frozen=True)
class Fetched:
    """What was brought.

    Attributes:
        table: the Parquet file.
        rows: people in it.
        columns: columns in it.
        files: component -> file.
        missing: components that the server does not have; their columns are missing.
    """

    table: Path
    rows: int
    columns: tuple[str, ...]
    files: dict[str, Path]
    missing: tuple[str, ...]


def fetch_nhanes(
    cycle: str,
    dest: str | os.PathLike[str] = "nhanes",
    *,
    components: Iterable[str] | None = None,
    base_url: str = BASE_URL,
    retries: int = 3,
    pause: float = 1.0,
    step: Callable[[float, str], None] | None = None,
) -> Fetched:
    """Download the components of a cycle and merge them.

    Args:
        cycle: such as ``2017-2018``.
        dest: folder; files already there, with the recorded checksum, are not downloaded again.
        components: which ones; all when None. DEMO always comes along.
        base_url: the CDC's folder, or a mirror with the same layout (``<base>/2017/DataFiles/DEMO_J.XPT``).
        retries: attempts for each file.
        pause: seconds before the second attempt; doubles each time.
        step: progress callback.

    Returns:
        What was brought. Components that the server does not have are named, not fatal.

    Raises:
        BadInput: an unknown cycle or component, or a file that is no transport file.
        FetchFailed: no network, DEMO missing, or a file that changed since it was recorded.
    """
    wanted = component_files(cycle)
    if components is not None:
        chosen = {name.strip().upper() for name in components} | {"DEMO"}
        unknown = sorted(chosen - set(rules()["components"]))
        if unknown:
            fix = "use some of " + ", ".join(rules()["components"])
            raise BadInput(f"no component {unknown[0]!r}", field="components", fix=fix)
        wanted = {name: file for name, file in wanted.items() if name in chosen}
    if urllib.parse.urlsplit(base_url).scheme not in ("http", "https"):
        raise BadInput(f"{base_url} is not a web address", field="base_url", fix="give http:// or https://")
    folder = Path(dest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"the folder cannot be made: {error.strerror}", file=folder) from error
    year = rules()["cycles"][cycle]["folder"]
    record = _read_record(folder)
    files: dict[str, Path] = {}
    frames: dict[str, Any] = {}
    missing: list[str] = []
    for number, (component, name) in enumerate(wanted.items()):
        if step is not None:
            step(number / (len(wanted) + 1), f"fetching {name}")
        url = f"{base_url.rstrip('/')}/{year}/DataFiles/{name}.XPT"
        path = folder / f"{name}.XPT"
        there = path.is_file()
        if not _bring(url, path, record, retries, pause):
            missing.append(component)
            continue
        try:
            frames[component] = read_xpt(path.read_bytes(), path)
        except BadInput:
            if not there:
                path.unlink()  # an error page would be taken for the file the next time
            raise
        files[component] = path
        # only what could be read is recorded: an error page is not to be defended later
        record[path.name] = {"sha256": _sha256(path), "url": url}
        with whole_file(folder / _RECORD, overwrite=True) as partial:
            partial.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    if "DEMO" in missing:
        raise FetchFailed(f"{base_url} has no DEMO file for {cycle}; check --base-url and the cycle")
    if step is not None:
        step(len(wanted) / (len(wanted) + 1), "merging")
    table = merge(frames, cycle)
    target = folder / f"nhanes_{cycle.replace('-', '_')}.parquet"
    with whole_file(target, overwrite=True) as partial:
        table.to_parquet(partial, index=False)
    return Fetched(target, len(table), tuple(table.columns), files, tuple(missing))


def _bring(url: str, path: Path, record: dict[str, Any], retries: int, pause: float) -> bool:
    """Have the file; False where the server does not."""
    known = record.get(path.name, {}).get("sha256")
    if path.is_file():
        if known is None or _sha256(path) == known:
            return True
        raise FetchFailed(
            f"{path} is not the file that was recorded in {_RECORD}; remove it to fetch it again"
        )
    import pooch
    import requests

    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT)
    host = urllib.parse.urlsplit(url).netloc
    for attempt in range(retries):
        try:
            pooch.get_logger().setLevel("WARNING")
            pooch.retrieve(url, known, fname=path.name, path=path.parent, downloader=downloader)
            return True
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            if status in (403, 404):
                return False
            reason = f"{host} answered {status} for {path.name}"
        except requests.RequestException as error:
            reason = f"cannot reach {host} ({type(error).__name__})"
        except ValueError as error:
            raise FetchFailed(f"{path.name} has changed since it was recorded: {error}") from error
        if attempt + 1 < retries:
            time.sleep(pause * 2**attempt)
    raise FetchFailed(
        f"{reason}, {retries} attempts; check the network, give a mirror with --base-url, or put the "
        f"XPT files into {path.parent} yourself"
    )


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / _RECORD
    if not path.is_file():
        return {}
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise BadInput(
            "the record of checksums is damaged", file=path, fix="remove it to start anew"
        ) from None
    return dict(loaded)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
