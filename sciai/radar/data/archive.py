"""Brings a NEXRAD Level II volume from NOAA's public archive.

The archive is an S3 bucket that anyone may list and read: keys ``YYYY/MM/DD/SITE/SITEYYYYMMDD_HHMMSS[_V06]``.

Source: https://registry.opendata.aws/noaa-nexrad/
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput, SciaiError
from sciai.radar.data.arguments import path_of, shown

BASE_URL: Final = "https://unidata-nexrad-level2.s3.amazonaws.com"
"""The archive's public bucket since 2025; its predecessor was ``noaa-nexrad-level2``."""

_KEY = re.compile(r"^(?P<site>[A-Z0-9]{4})(?P<time>\d{8}_\d{6})(?P<rest>.*)$")
_TIMEOUT = 30.0
_NEAR = timedelta(hours=1)


class FetchFailed(SciaiError):
    """The archive cannot be reached, or what it sent does not match its checksum."""


@dataclass(frozen=True)
class Listed:
    """One volume in the archive."""

    key: str
    time: datetime
    size: int
    etag: str


def fetch(
    site: str,
    time: datetime | str,
    dest: str | os.PathLike[str] = ".",
    *,
    base_url: str = BASE_URL,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Download the Level II volume of a site that is nearest to a time.

    Args:
        site: four letters, such as ``KTLX`` or ``TORD``.
        time: UTC, as a datetime or ISO text (``2013-05-20T20:00``); the volume that starts nearest to it
            is taken.
        dest: folder, which is made if missing; the file keeps its name in the archive.
        base_url: the archive, or a mirror that answers S3 list requests.
        overwrite: download again what is there.
        progress: show a progress bar; default: only on a terminal.

    Returns:
        The file. One that is already there with the archive's size and checksum is not downloaded again.

    Raises:
        BadInput: a site or time that cannot be, no volume within an hour of it, or a different file in
            the way.
        FetchFailed: no network, an error of the server, or a download that does not match its checksum.
    """
    dest = path_of(dest, "dest", "volumes")
    site, wanted = _site(site), _utc(time)
    base_url = base_url.rstrip("/")
    volume = _nearest(site, wanted, base_url)
    target = Path(dest) / volume.key.rsplit("/", 1)[-1]
    if target.exists() and not overwrite:
        if target.stat().st_size == volume.size and _checksum_ok(target, volume.etag):
            return target
        raise BadInput("another file of this name exists", file=target, fix="move it away, or overwrite=True")
    with whole_file(target, overwrite=overwrite) as temporary:
        _download(f"{base_url}/{urllib.parse.quote(volume.key)}", temporary, volume, progress)
        if temporary.stat().st_size != volume.size:
            problem = f"{target.name}: got {temporary.stat().st_size} bytes of {volume.size}; try again"
            raise FetchFailed(problem)
        if not _checksum_ok(temporary, volume.etag):
            raise FetchFailed(f"{target.name}: the checksum does not match {volume.etag}; try again")
    return target


def _site(given: Any) -> str:
    site = given.strip().upper() if isinstance(given, str) else ""
    if not re.fullmatch(r"[A-Z]{4}", site):
        raise BadInput(f"{given!r} is not a NEXRAD site", field="site", fix="give four letters such as KTLX")
    return site


def _utc(time: Any) -> datetime:
    if isinstance(time, str):
        try:
            time = datetime.fromisoformat(time.strip())
        except ValueError:
            raise BadInput(
                f"{time!r} is not a time", field="time", unit="UTC", fix="give 2013-05-20T20:00"
            ) from None
    if not isinstance(time, datetime):
        raise BadInput(f"{shown(time)} is not a time", field="time", unit="UTC", fix="give 2013-05-20T20:00")
    try:
        wanted = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        wanted - timedelta(days=1), wanted + timedelta(days=1)
    except OverflowError:
        raise BadInput(
            f"no archive has {time}", field="time", unit="UTC", fix="give 2013-05-20T20:00"
        ) from None
    return wanted


def _nearest(site: str, wanted: datetime, base_url: str) -> Listed:
    # a volume near midnight may lie in the folder of the day before or after
    days = sorted({(wanted + d).date() for d in (-_NEAR, timedelta(0), _NEAR)})
    volumes = [v for day in days for v in list_volumes(site, f"{day:%Y/%m/%d}", base_url)]
    best = min(volumes, key=lambda v: abs(v.time - wanted), default=None)
    if best is None or abs(best.time - wanted) > _NEAR:
        near = f"; the nearest is of {best.time:%Y-%m-%d %H:%M:%S}" if best else ""
        problem = f"no volume of {site} within an hour of {wanted:%Y-%m-%d %H:%M} UTC{near}"
        raise BadInput(
            problem, field="time", unit="UTC", fix="check site and time; the archive begins in June 1991"
        )
    return best


def list_volumes(site: str, day: str, base_url: str = BASE_URL) -> list[Listed]:
    """Volumes of a site on a day, in order of time.

    Args:
        site: four letters.
        day: ``YYYY/MM/DD`` (UTC).
        base_url: the archive.

    Raises:
        FetchFailed: no network, or an answer that is no S3 listing.
    """
    found: list[Listed] = []
    token = ""
    while True:
        query = {"list-type": "2", "prefix": f"{day}/{site}/"} | (
            {"continuation-token": token} if token else {}
        )
        url = f"{base_url}/?{urllib.parse.urlencode(query)}"
        try:
            with _open(url) as answer:
                body = answer.read()
        except (OSError, http.client.HTTPException) as e:
            raise FetchFailed(f"{base_url}: the connection broke ({e}); try again") from e
        try:
            root = ET.fromstring(body)
        except ET.ParseError as e:
            raise FetchFailed(f"{base_url} did not answer with an S3 listing ({e}); check base_url") from e
        if root.tag.rpartition("}")[2] != "ListBucketResult":
            raise FetchFailed(f"{base_url} did not answer with an S3 listing ({root.tag}); check base_url")
        space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        for item in root.iter(f"{space}Contents"):
            key = item.findtext(f"{space}Key", "")
            match = _KEY.match(key.rsplit("/", 1)[-1])
            # _MDM files hold only metadata
            if match is None or match["rest"].endswith("MDM"):
                continue
            try:
                when = datetime.strptime(match["time"], "%Y%m%d_%H%M%S").replace(tzinfo=UTC)
                size = int(item.findtext(f"{space}Size", "0"))
            except ValueError:  # a name like a volume's, with a time that is none: nothing to choose by
                continue
            found.append(Listed(key, when, size, item.findtext(f"{space}ETag", "").strip('"')))
        token = root.findtext(f"{space}NextContinuationToken", "")
        if root.findtext(f"{space}IsTruncated", "false") != "true" or not token:
            return sorted(found, key=lambda v: v.time)


def _open(url: str) -> Any:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise BadInput(f"{url} is not a web address", field="base_url", fix="give http:// or https://")
    try:
        return urllib.request.urlopen(url, timeout=_TIMEOUT)
    except urllib.error.HTTPError as e:
        raise FetchFailed(f"the archive answered {e.code} {e.reason} for {url}") from e
    except (urllib.error.URLError, TimeoutError, OSError) as e:
        reason = getattr(e, "reason", e)
        host = urllib.parse.urlsplit(url).netloc
        raise FetchFailed(
            f"cannot reach {host} ({reason}); check the network, "
            "or use a file you have, or `sciai radar simulate`"
        ) from e


def _download(url: str, path: Path, volume: Listed, progress: bool | None) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    hidden = not (sys.stderr.isatty() if progress is None else progress)
    label = volume.key.rsplit("/", 1)[-1]
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (
        _open(url) as answer,
        open(path, "wb") as out,
        Progress(*columns, console=Console(stderr=True), disable=hidden) as bar,
    ):
        task = bar.add_task(label, total=volume.size)
        while True:
            try:
                block = answer.read(1 << 16)
            except (OSError, http.client.HTTPException) as e:
                raise FetchFailed(f"{label}: the connection broke ({e}); try again") from e
            if not block:
                return
            out.write(block)
            bar.update(task, advance=len(block))


def _checksum_ok(path: Path, etag: str) -> bool:
    """Compare with the ETag, the MD5 of an object uploaded in one part, else of its parts' MD5s."""
    if "-" in etag or not re.fullmatch(r"[0-9a-f]{32}", etag):
        return _multipart_ok(path, etag)
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == etag


def _multipart_ok(path: Path, etag: str) -> bool:
    """Try the usual part sizes; an ETag of another kind (encrypted bucket) is no checksum."""
    match = re.fullmatch(r"([0-9a-f]{32})-(\d+)", etag)
    if match is None:
        return True
    data = path.read_bytes()
    for mebibytes in (5, 8, 15, 16, 32, 64):
        size = mebibytes << 20
        parts = [data[i : i + size] for i in range(0, len(data), size)]
        if len(parts) != int(match[2]):
            continue
        joined = b"".join(hashlib.md5(p, usedforsecurity=False).digest() for p in parts)
        if hashlib.md5(joined, usedforsecurity=False).hexdigest() == match[1]:
            return True
    return False
