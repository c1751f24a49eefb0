"""Keys, signatures, canonical bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from sciai.core.errors import BadInput
from sciai.trust.sign import BadSignature, Keyring, Signer, canonical, digest, key_id

# RFC 8032, section 7.1, test 3
SEED = "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"
MESSAGE = bytes.fromhex("af82")
SIGNATURE = (
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
    "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
)


def test_the_standards_own_example(tmp_path: Path) -> None:
    import base64

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signer = Signer("rfc", Ed25519PrivateKey.from_private_bytes(bytes.fromhex(SEED)))
    assert base64.b64decode(signer.sign(MESSAGE)).hex() == SIGNATURE


def test_a_saved_key_signs_the_same_and_is_private(tmp_path: Path) -> None:
    signer = Signer.new("Ada")
    signer.save(tmp_path / "ada.pem")
    assert (tmp_path / "ada.pem").stat().st_mode & 0o077 == 0
    assert Signer.exposed(tmp_path / "ada.pem") == ""
    (tmp_path / "ada.pem").chmod(0o644)
    assert "everybody" in Signer.exposed(tmp_path / "ada.pem")
    again = Signer.load(tmp_path / "ada.pem")
    assert (again.name, again.sign(b"x")) == ("ada", signer.sign(b"x"))
    with pytest.raises(BadInput, match="exists"):
        signer.save(tmp_path / "ada.pem")


def test_keys_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        Signer.load(tmp_path / "missing.pem")
    (tmp_path / "text.pem").write_text("not a key")
    with pytest.raises(BadInput, match="PEM"):
        Signer.load(tmp_path / "text.pem")
    locked = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (tmp_path / "locked.pem").write_bytes(locked)
    with pytest.raises(BadInput, match=r"passphrase.*locked\.pem"):
        Signer.load(tmp_path / "locked.pem")
    with pytest.raises(BadInput, match="32-byte"):
        key_id("AAAA")
    with pytest.raises(BadInput, match="name"):
        Signer.new(" ")


@given(st.binary(max_size=50), st.integers(0, 511))
def test_any_altered_bit_is_found(message: bytes, bit: int) -> None:
    import base64

    signer = Signer.new("Ada")
    ring = Keyring({signer.key: ("Ada", signer.public)})
    signature = bytearray(base64.b64decode(signer.sign(message)))
    assert ring.check(message, base64.b64encode(signature).decode(), signer.key) == "Ada"
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadSignature):
        ring.check(message, base64.b64encode(signature).decode(), signer.key)
    with pytest.raises(BadSignature):
        ring.check(message + b"!", signer.sign(message), signer.key)


def test_only_listed_keys_are_trusted(tmp_path: Path) -> None:
    ada, bob = Signer.new("Ada"), Signer.new("Bob")
    file = tmp_path / "keys.yaml"
    file.write_text(yaml.safe_dump({"signers": [{"name": "Ada", "public": ada.public}]}))
    ring = Keyring.load(file)
    assert ring.check(b"x", ada.sign(b"x"), ada.key) == "Ada"
    with pytest.raises(BadSignature, match="not among"):
        ring.check(b"x", bob.sign(b"x"), bob.key)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "signers"),
        ("{a: [", "YAML"),
        ("signers: [{name: Ada}]", "public"),
        ("signers: [{name: Ada, public: AAAA}]", "32-byte"),
    ],
)
def test_a_bad_keyring_says_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    with pytest.raises(BadInput, match=message):
        Keyring.load(tmp_path / "keys.yaml")


def test_canonical_does_not_depend_on_order_or_number_type() -> None:
    import numpy as np

    assert canonical({"a": 1, "b": [np.float64(0.5)]}) == canonical({"b": (0.5,), "a": np.int64(1)})
    assert digest({"a": 1}) != digest({"a": 2})
