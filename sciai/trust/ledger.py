"""An append-only record of answers, decisions and releases: hash-chained, signed, safe with several writers.

A ledger is a folder::

    ledger.json     format, public key of the writer, when it began
    entries.jsonl   one entry a line; each holds the hash of the one before it, and is signed
    head.json       number and hash of the last entry, signed: what somebody else should keep (an anchor)
    salt            for digests of personal values; without it they cannot be told from noise
    lock            held while appending

An entry is on the disk before it is said to be appended. The head follows without waiting for the disk, so
after a power cut it may be some entries behind; the next writer takes over those that are whole, chained and
signed.

What is found: an edited, deleted or moved entry (the chain breaks), a removed end (the head says more), a
forged entry (no signature). What needs an anchor kept elsewhere: a ledger that was cut back together with its
head, or rewritten by somebody who has the key (a fork). ``verify(anchor=...)`` finds both.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sciai.core.answer import Finding, jsonable
from sciai.core.atomic import whole_file
from sciai.core.errors import BadInput, DamagedStore, SciaiError
from sciai.trust.chain import FORMAT, GENESIS, VERSION, Entry, Head, examine, parsed
from sciai.trust.sign import BadSignature, Keyring, Signer, canonical, key_id

__all__ = ["Entry", "Head", "Ledger"]

HEAD_BYTES: Final = 512


class Ledger:
    """Append to, read and verify a ledger.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp() + "/ledger"
    >>> ledger = Ledger.create(folder, Signer.new("service"))
    >>> ledger.append("answer", {"domain": "tutorial", "value": 3}).number
    0
    >>> [finding.level.name for finding in Ledger(folder).verify()]
    ['OK']
    """

    def __init__(self, folder: str | os.PathLike[str], signer: Signer | None = None) -> None:
        """Open one that exists.

        Args:
            folder: the ledger.
            signer: who appends; None to read only.

        Raises:
            BadInput: where there is no ledger, or the signer is not the one the ledger was made with.
            DamagedStore: where its description cannot be read.
        """
        self.folder = Path(folder)
        try:
            about = json.loads((self.folder / "ledger.json").read_text())
            if about["format"] != FORMAT or int(about["version"]) != VERSION:
                raise DamagedStore(
                    f"{self.folder} is a ledger of another version: {about.get('version')!r}, not {VERSION}"
                )
            self.public, self.name = str(about["public"]), str(about["name"])
            self.keyring = Keyring({key_id(self.public): (self.name, self.public)})
        except FileNotFoundError:
            raise BadInput(
                "there is no ledger", file=self.folder, fix="make one: sciai ledger new FOLDER"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedStore(f"{self.folder / 'ledger.json'} cannot be read: {error}") from error
        if signer is not None and signer.public != self.public:
            raise BadInput(
                f"the ledger is kept by {self.name!r} with another key than that of {signer.name!r}",
                file=self.folder,
                fix="give the key it was made with",
            )
        self.signer = signer
        self._written: tuple[bytes, Head] | None = None

    @classmethod
    def create(cls, folder: str | os.PathLike[str], signer: Signer) -> Ledger:
        """Begin an empty ledger.

        Args:
            folder: must not exist.
            signer: whose key signs the entries.

        Raises:
            BadInput: where the folder exists or cannot be made.
        """
        path = Path(folder)
        if path.exists() or path.is_symlink():
            raise BadInput("the folder exists", file=path, fix="choose another name")
        # made beside it and renamed: of one that was interrupted nothing stays that looks like a ledger
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        about = {
            "format": FORMAT,
            "version": VERSION,
            "name": signer.name,
            "public": signer.public,
            "begun": _now(),
        }
        try:
            fresh.mkdir(parents=True)
            handle = os.open(fresh / "salt", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(32))
            (fresh / "entries.jsonl").touch()
            (fresh / "ledger.json").write_bytes(canonical(about))
            cls(fresh, signer)._write_head(0, 0, GENESIS)
            os.rename(fresh, path)
        except OSError as error:
            raise BadInput(f"cannot make the ledger: {error.strerror}", file=path) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return cls(path, signer)

    # ------------------------------------------------------------------------------------------------ writing

    def append(self, kind: str, body: Mapping[str, Any]) -> Entry:
        """Add an entry; it is on the disk when this returns.

        Args:
            kind: what it records.
            body: the record; anything ``jsonable`` takes.

        Raises:
            BadInput: the ledger was opened for reading only.
            DamagedStore: the ledger's end is not what its head says.
            SciaiError: the disk is full; the ledger is as it was before.
        """
        if self.signer is None:
            raise BadInput("the ledger was opened without its key", file=self.folder, fix="give the key")
        plain = jsonable(body, 10**9)
        with self._locked():
            head = self._settled_head()
            draft = Entry(head.entries, _now(), kind, plain, head.hash, "", "")
            signed = draft.expected_hash()
            entry = replace(draft, hash=signed, signature=self.signer.sign(signed.encode()))
            line = canonical(asdict(entry)) + b"\n"
            self._extend(head.size, line)
            try:
                self._write_head(head.entries + 1, head.size + len(line), entry.hash)
            except (OSError, SciaiError) as error:
                self._cut(head.size)
                raise _full(error, self.folder) from error
        return entry

    def hide(self, value: Any) -> str:
        """A salted digest of a personal value: the same value gives the same text, and nothing else does.

        HMAC-SHA256 with the ledger's salt (RFC 2104). Whoever has the salt can test a guess; delete the file
        ``salt`` to make the digests meaningless for good.
        """
        return self.hiding()(value)

    def hiding(self) -> Callable[[Any], str]:
        """``hide`` for the many values of one answer: the salt is read once."""
        try:
            salt = (self.folder / "salt").read_text().strip()
        except OSError as error:
            raise BadInput(
                "the ledger's salt is gone, so values of people can neither be recorded nor recognised",
                file=self.folder / "salt",
                fix="begin a new ledger, or put the file back",
            ) from error
        started = hmac.new(salt.encode(), digestmod=hashlib.sha256)

        def hide(value: Any) -> str:
            mine = started.copy()
            mine.update(canonical(value))
            return f"hmac-sha256:{mine.hexdigest()}"

        return hide

    # ------------------------------------------------------------------------------------------------ reading

    @property
    def head(self) -> Head:
        """The signed end of the ledger, as last written.

        Raises:
            DamagedStore: where it cannot be read or its signature does not hold.
        """
        try:
            return self._read_head()
        except DamagedStore as damaged:
            try:
                with self._locked():  # read while it was written? then not a second time
                    return self._read_head()
            except OSError:  # who may only read cannot wait for writers
                raise damaged from None

    def _read_head(self) -> Head:
        head = Head.load(self.folder / "head.json")
        try:
            self.keyring.check(head.message(), head.signature, head.key)
        except BadSignature as error:
            raise DamagedStore(f"{self.folder / 'head.json'}: {error}") from error
        return head

    def entries(self, until: int | None = None) -> Iterator[Entry]:
        """Every entry, oldest first, as it stands in the file; not verified.

        Args:
            until: bytes of the file to read; None reads on while others append.

        Raises:
            DamagedStore: at a line that is no entry, or where the file cannot be read.
        """
        path = self.folder / "entries.jsonl"
        try:
            with open(path, "rb") as file:
                read = 0
                for number, line in enumerate(file):
                    if until is not None and read >= until:
                        return
                    yield parsed(line, path, number)
                    read += len(line)
        except OSError as error:
            raise DamagedStore(f"{path} cannot be read: {error.strerror}") from error

    def find(self, id: str) -> Entry:
        """The entry with this id (or a beginning of its hash that no other has), or this number.

        Args:
            id: at least 6 digits of the hash, or a number.

        Raises:
            BadInput: no such entry, or more than one.
        """
        by_hash = len(id) >= 6 or not id.isdecimal()
        found = [e for e in self.entries() if str(e.number) == id or (by_hash and e.hash.startswith(id))]
        if len(found) != 1:
            raise BadInput(
                f"{len(found) or 'no'} entries are called {id!r}",
                file=self.folder,
                fix="sciai ledger show lists them",
            )
        return found[0]

    def verify(self, anchor: Head | None = None) -> list[Finding]:
        """Check everything there is to check.

        Args:
            anchor: a head of this ledger that was kept elsewhere.

        Returns:
            Findings that refuse, one for each thing that is wrong; or a single one that is OK.
        """
        end, read_head = self._moment()
        return examine(self.entries(end), read_head, self.keyring, self.name, anchor)

    def _moment(self) -> tuple[int | None, Callable[[], Head]]:
        """Bytes and head between two entries: what others append meanwhile is neither forged nor cut off."""
        try:
            with self._locked():
                size = (self.folder / "entries.jsonl").stat().st_size
                try:
                    head = self._read_head()
                except DamagedStore as error:
                    damaged = error  # told after the entries
                    return size, lambda: _raise(damaged)
                return size, lambda: head
        except OSError:  # who may only read cannot wait for writers
            return None, lambda: self.head

    # ---------------------------------------------------------------------------------------------- internals

    @property
    def _key(self) -> str:
        return next(iter(self.keyring.keys))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, across processes and threads; freed by the system when a writer dies."""
        with open(self.folder / "lock", "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _settled_head(self) -> Head:
        """The head; what writers that died left behind it is adopted where it is whole, else cut off."""
        written = self._written
        if written is not None and (self.folder / "head.json").read_bytes() == written[0]:
            head = written[1]  # nobody else wrote since: its signature is our own
        else:
            head = self._read_head()
        file = self.folder / "entries.jsonl"
        size = file.stat().st_size
        if size < head.size:
            raise DamagedStore(f"{file} has {size} bytes, its head says {head.size}: the end was removed")
        if size == head.size:
            return head
        with open(file, "rb") as handle:
            handle.seek(head.size)
            tail = handle.readlines()
        entries, size, last = head.entries, head.size, head.hash
        for line in tail:
            if not line.endswith(b"\n"):  # a dying writer leaves part of one line, never more
                self._cut(size)
                break
            try:
                entry = parsed(line, file, entries)
                if (entry.number, entry.previous) != (entries, last):
                    raise DamagedStore("not the next entry")
                if entry.hash != entry.expected_hash():
                    raise DamagedStore("altered")
                self.keyring.check(entry.hash.encode(), entry.signature, self._key)
            except (DamagedStore, BadSignature):
                raise DamagedStore(
                    f"{file}: what stands behind the head is not an entry of {self.name}; look at it, and "
                    f"remove all beyond byte {size}"
                ) from None
            entries, size, last = entries + 1, size + len(line), entry.hash
        return head if entries == head.entries else self._write_head(entries, size, last)

    def _extend(self, start: int, line: bytes) -> None:
        handle = os.open(self.folder / "entries.jsonl", os.O_WRONLY | os.O_APPEND)
        try:
            written = 0
            while written < len(line):
                written += os.write(handle, line[written:])
            os.fsync(handle)
        except OSError as error:
            os.ftruncate(handle, start)
            raise _full(error, self.folder) from error
        finally:
            os.close(handle)

    def _cut(self, size: int) -> None:
        os.truncate(self.folder / "entries.jsonl", size)

    def _write_head(self, entries: int, size: int, last: str) -> Head:
        if self.signer is None:
            raise BadInput("the ledger was opened without a key, for reading", file=self.folder)
        unsigned = Head(entries, size, last, _now(), self.signer.key, "")
        head = replace(unsigned, signature=self.signer.sign(unsigned.message()))
        # of one length and within one sector, so that it is written over in one piece, old or new
        content, file = canonical(asdict(head)).ljust(HEAD_BYTES - 1) + b"\n", self.folder / "head.json"
        if len(content) == HEAD_BYTES and file.exists() and file.stat().st_size == HEAD_BYTES:
            handle = os.open(file, os.O_WRONLY)
            try:
                os.pwrite(handle, content, 0)
            finally:
                os.close(handle)
        else:
            with whole_file(file, overwrite=True) as temporary:
                temporary.write_bytes(content)
        self._written = content, head
        return head


def _raise(error: DamagedStore) -> Head:
    raise error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _full(error: Exception, folder: Path) -> SciaiError:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SciaiError(f"the disk is full: nothing was appended to {folder}, which is as it was before")
    return SciaiError(f"cannot append to {folder}: {error}; it is as it was before")
