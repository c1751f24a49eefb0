"""Fetching from an archive: against a server on this machine that answers as S3 does."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading
import urllib.parse
from datetime import UTC, datetime

import pytest

from sciai.core.errors import BadInput
from sciai.radar.data import fetch, open_volume
from sciai.radar.data.archive import FetchFailed, list_volumes
from tests.radar.data import level2_by_hand

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def volume_bytes():
    head, parts, *_ = level2_by_hand.small_volume()
    return head + b"".join(parts)


class Archive(http.server.ThreadingHTTPServer):
    """Keys and bytes; lists two keys a page."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.cut = self.cut_listing = 0
        self.answer = b""
        self.downloads = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/" and "list-type" in url.query:
            listing = self.server.answer or self.listing(dict(urllib.parse.parse_qsl(url.query)))
            return self.send(listing, self.server.cut_listing)
        body = self.server.objects.get(urllib.parse.unquote(url.path[1:]))
        if body is None:
            return self.send_error(404)
        self.server.downloads += 1
        return self.send(body, self.server.cut)

    def send(self, body, cut=0):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - cut])

    def etag(self, key):
        return self.server.etags.get(key) or hashlib.md5(self.server.objects[key]).hexdigest()

    def listing(self, query):
        keys = sorted(k for k in self.server.objects if k.startswith(query["prefix"]))
        start = int(query.get("continuation-token", "0"))
        page, more = keys[start : start + 2], start + 2 < len(keys)
        items = "".join(
            f"<Contents><Key>{k}</Key><Size>{len(self.server.objects[k])}</Size>"
            f"<ETag>&quot;{self.etag(k)}&quot;</ETag></Contents>"
            for k in page
        )
        token = f"<NextContinuationToken>{start + 2}</NextContinuationToken>" if more else ""
        return (
            f'<?xml version="1.0"?><ListBucketResult xmlns="{NAMESPACE}">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{items}</ListBucketResult>"
        ).encode()


@pytest.fixture
def archive():
    server = Archive()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    data = volume_bytes()
    for key in (
        "2013/05/20/KTLX/KTLX20130520_195500_V06",
        "2013/05/20/KTLX/KTLX20130520_200030_V06",
        "2013/05/20/KTLX/KTLX20130520_200500_V06",
        "2013/05/20/KTLX/KTLX20130520_200031_V06_MDM",
        "2013/05/20/KTLX/KTLX20130520_235800_V06",
        "2013/05/20/KINX/KINX20130520_200000_V06",
    ):
        server.objects[key] = data
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "time", ["2013-05-20T20:00", "2013-05-20T15:00-05:00", datetime(2013, 5, 20, 20, 0, tzinfo=UTC)]
)
def test_nearest_volume(archive, tmp_path, time):
    file = fetch("ktlx", time, tmp_path / "new", base_url=archive.url)
    assert file == tmp_path / "new" / "KTLX20130520_200030_V06"
    assert file.read_bytes() == volume_bytes()
    assert len(open_volume(file).children) == 2
    # a second time it is there, and checked
    assert fetch("KTLX", time, tmp_path / "new", base_url=archive.url) == file
    assert archive.downloads == 1


def test_across_midnight(archive, tmp_path):
    file = fetch("KTLX", "2013-05-21T00:01", tmp_path, base_url=archive.url + "/")
    assert file.name == "KTLX20130520_235800_V06"


def test_listing_follows_the_pages_and_leaves_metadata_out(archive):
    found = list_volumes("KTLX", "2013/05/20", archive.url)
    assert [v.time.strftime("%H%M%S") for v in found] == ["195500", "200030", "200500", "235800"]


def test_a_real_file(archive, tmp_path, shared_data):
    source = shared_data / "radar" / "KVBX20190501_093433_V06"
    archive.objects["2019/05/01/KVBX/KVBX20190501_093433_V06"] = source.read_bytes()
    file = fetch("KVBX", "2019-05-01T09:30", tmp_path, base_url=archive.url, progress=True)
    assert file.read_bytes() == source.read_bytes()


def test_multipart_checksum(archive, tmp_path):
    data = bytes(9 << 20)
    key = "2013/05/20/KINX/KINX20130520_200000_V06"
    archive.objects[key] = data
    parts = [data[: 8 << 20], data[8 << 20 :]]
    archive.etags[key] = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in parts)).hexdigest() + "-2"
    assert fetch("KINX", "2013-05-20T20:00", tmp_path, base_url=archive.url).stat().st_size == len(data)
    archive.etags[key] = "0" * 32 + "-2"
    with pytest.raises(FetchFailed, match="checksum"):
        fetch("KINX", "2013-05-20T20:00", tmp_path / "b", base_url=archive.url)


def test_damaged_download_leaves_nothing(archive, tmp_path):
    archive.etags["2013/05/20/KTLX/KTLX20130520_200030_V06"] = "0" * 32
    with pytest.raises(FetchFailed, match="checksum does not match"):
        fetch("KTLX", "2013-05-20T20:00", tmp_path, base_url=archive.url)
    assert list(tmp_path.iterdir()) == []


def test_broken_connection_leaves_nothing(archive, tmp_path):
    archive.cut = 100
    with pytest.raises(FetchFailed, match=r"bytes of|connection broke"):
        fetch("KTLX", "2013-05-20T20:00", tmp_path, base_url=archive.url)
    assert list(tmp_path.iterdir()) == []


def test_another_file_in_the_way(archive, tmp_path):
    (tmp_path / "KTLX20130520_200030_V06").write_bytes(b"mine")
    with pytest.raises(BadInput, match="another file"):
        fetch("KTLX", "2013-05-20T20:00", tmp_path, base_url=archive.url)
    assert (
        fetch("KTLX", "2013-05-20T20:00", tmp_path, base_url=archive.url, overwrite=True).stat().st_size > 4
    )


def test_nothing_near(archive, tmp_path):
    with pytest.raises(BadInput, match=r"no volume of KTLX.*nearest is of 2013-05-20 19:55"):
        fetch("KTLX", "2013-05-20T12:00", tmp_path, base_url=archive.url)
    with pytest.raises(BadInput, match="no volume of KABC"):
        fetch("KABC", "2013-05-20T20:00", tmp_path, base_url=archive.url)


@pytest.mark.parametrize(
    ("site", "time"), [("KT", "2013-05-20"), ("KTLX", "yesterday"), ("../..", "2013-05-20")]
)
def test_bad_arguments(tmp_path, site, time):
    with pytest.raises(BadInput):
        fetch(site, time, tmp_path, base_url="http://127.0.0.1:9")


def test_no_network(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with pytest.raises(FetchFailed, match=r"cannot reach 127\.0\.0\.1.*check the network"):
        fetch("KTLX", "2013-05-20T20:00", tmp_path, base_url=f"http://127.0.0.1:{port}")
    with pytest.raises(BadInput, match="web address"):
        fetch("KTLX", "2013-05-20T20:00", tmp_path, base_url="file:///etc")


def test_names_with_times_that_are_none_are_passed_over(archive, tmp_path):
    archive.objects["2013/05/20/KTLX/KTLX20130520_256199_V06"] = b"?"
    assert fetch("KTLX", "2013-05-20T20:16", tmp_path, base_url=archive.url).name.startswith(
        "KTLX20130520_20"
    )


@pytest.mark.parametrize(
    ("answer", "cut", "message"), [(b"<html/>", 0, "no.* S3 listing"), (b"", 9, "connection broke")]
)
def test_listings_that_are_none(archive, tmp_path, answer, cut, message):
    archive.answer, archive.cut_listing = answer, cut
    with pytest.raises(FetchFailed, match=message):
        fetch("KTLX", "2013-05-20T20:16", tmp_path, base_url=archive.url)


def test_times_at_the_end_of_the_calendar(tmp_path):
    with pytest.raises(BadInput, match="no archive has 9999"):
        fetch("KTLX", "9999-12-31T23:30", tmp_path)
