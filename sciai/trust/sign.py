"""Signatures (Ed25519, RFC 8032) and the one way to write a record as bytes, so that a hash means one thing.

Keys are ordinary PEM files; `cryptography` does the mathematics. Whom to trust is a YAML file of public keys,
which lives apart from what they sign.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sciai.core.answer import jsonable
from sciai.core.errors import BadInput, SciaiError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["BadSignature", "Keyring", "Signer", "canonical", "digest", "key_id"]


class BadSignature(SciaiError):
    """A signature that does not hold, or by a key nobody vouches for."""


def canonical(record: Any) -> bytes:
    """JSON with sorted keys and no spaces (as RFC 8785 in spirit; numbers as Python writes them), UTF-8.

    Args:
        record: anything ``jsonable`` takes.

    >>> canonical({"b": 1, "a": "ß"}).decode()
    '{"a":"ß","b":1}'
    """
    plain = jsonable(record, 10**9)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(record: Any) -> str:
    """Sha256 of ``canonical(record)``, 64 hex digits."""
    return hashlib.sha256(canonical(record)).hexdigest()


@dataclass(frozen=True)
class Signer:
    """Somebody who signs.

    >>> someone = Signer.new("Ada")
    >>> Keyring({someone.key: ("Ada", someone.public)}).check(b"text", someone.sign(b"text"), someone.key)
    'Ada'
    """

    name: str
    _private: Ed25519PrivateKey

    @classmethod
    def new(cls, name: str) -> Signer:
        """A fresh key, in memory only until ``save``."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not name.strip():
            raise BadInput("a signer needs a name", field="name")
        return cls(name, Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: str | os.PathLike[str], name: str = "") -> Signer:
        """Read a private key.

        Args:
            path: PEM file, PKCS 8, not encrypted.
            name: the signer's name; that of the file when empty.

        Raises:
            BadInput: where there is no such file, or it holds no Ed25519 private key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        file = Path(path)
        try:
            private = load_pem_private_key(file.read_bytes(), None)
        except OSError as error:
            raise BadInput(f"cannot read the key: {error.strerror}", file=file) from error
        except TypeError as error:  # how cryptography says that a passphrase is wanted
            fix = "write it without: openssl pkey -in FILE -out PLAIN; or make one: sciai key new FILE"
            raise BadInput("the key is locked with a passphrase", file=file, fix=fix) from error
        except ValueError as error:
            raise BadInput(
                "not a private key in PEM", file=file, fix="make one: sciai key new FILE"
            ) from error
        if not isinstance(private, Ed25519PrivateKey):
            raise BadInput("the key is not of type Ed25519", file=file, fix="make one: sciai key new FILE")
        return cls(name or file.stem, private)

    @staticmethod
    def exposed(path: str | os.PathLike[str]) -> str:
        """Who else may read a key, as a sentence; empty where its owner alone may.

        Args:
            path: the private key's file.
        """
        if os.name != "posix" or not (mode := os.stat(path).st_mode & 0o077):
            return ""
        who = "everybody" if mode & 0o007 else "a group"
        return f"{path}: {who} may read or change this key, and sign with it; chmod 600 {path}"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the private key, readable by its owner only; never over an existing file.

        Args:
            path: where to.

        Raises:
            BadInput: where the file exists or cannot be written.
        """
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        text = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise BadInput(f"cannot write the key: {error.strerror}", file=path) from error
        with os.fdopen(handle, "wb") as file:
            file.write(text)

    @cached_property
    def public(self) -> str:
        """The public key, base64 of its 32 bytes."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        raw = self._private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return base64.b64encode(raw).decode()

    @cached_property
    def key(self) -> str:
        """The key's id: the first 16 hex digits of the public key's sha256."""
        return key_id(self.public)

    def sign(self, message: bytes) -> str:
        """Signature of the message, base64."""
        return base64.b64encode(self._private.sign(message)).decode()


def key_id(public: str) -> str:
    """Id of a public key (base64): the first 16 hex digits of its sha256.

    Args:
        public: base64 of the 32 bytes.

    Raises:
        BadInput: when it is not that.
    """
    try:
        raw = base64.b64decode(public, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise BadInput(f"{public!r} is not the base64 of a 32-byte public key", field="public")
    return hashlib.sha256(raw).hexdigest()[:16]


@dataclass(frozen=True)
class Keyring:
    """Public keys that are trusted.

    Attributes:
        keys: key id -> (name of the holder, public key in base64).
    """

    keys: Mapping[str, tuple[str, str]]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Keyring:
        """Read a YAML file: ``signers: [{name: Ada, public: base64}, ...]``.

        Args:
            path: the file.

        Raises:
            BadInput: where it is missing or not of that form, or one holder appears under two names.
        """
        file = Path(path)
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise BadInput(f"cannot read the trusted keys: {error.strerror}", file=file) from error
        except yaml.YAMLError as error:
            raise BadInput("the trusted keys are not YAML", file=file) from error
        listed = (content or {}).get("signers") if isinstance(content or {}, dict) else None
        if listed is None:
            raise BadInput("no list of signers", file=file, field="signers")
        keys: dict[str, tuple[str, str]] = {}
        for number, entry in enumerate(listed):
            if not isinstance(entry, dict) or not entry.get("name") or not entry.get("public"):
                raise BadInput("a signer needs name and public", file=file, field=f"signers[{number}]")
            key = key_id(str(entry["public"]))
            if key in keys:
                raise BadInput("the same key twice", file=file, field=f"signers[{number}]")
            keys[key] = (str(entry["name"]), str(entry["public"]))
        return cls(keys)

    def check(self, message: bytes, signature: str, key: str) -> str:
        """Who signed this?

        Args:
            message: what was signed.
            signature: base64.
            key: id of the key that is said to have signed.

        Returns:
            The holder's name.

        Raises:
            BadSignature: an unknown key, or a signature that does not hold.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        if key not in self.keys:
            raise BadSignature(f"signed with key {key}, which is not among the trusted keys")
        name, public = self.keys[key]
        try:
            raw = base64.b64decode(signature, validate=True)
            Ed25519PublicKey.from_public_bytes(base64.b64decode(public)).verify(raw, message)
        except (InvalidSignature, ValueError) as error:
            raise BadSignature(
                f"the signature of {name} (key {key}) does not hold: the text was altered"
            ) from error
        return name
