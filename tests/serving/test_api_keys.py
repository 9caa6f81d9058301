"""A key is told once, and the file holds nothing it could be made from."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from rec_platform.errors import InputError
from rec_platform.serving.api_keys import KeyFile, read_keys


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "home" / "keys.json")


def test_what_is_kept(file: KeyFile) -> None:
    assert read_keys(file.path) == ()
    key, text = file.create("shop", ["recommend", "events"], expires_in=timedelta(days=90), rate_limit=100)
    prefix, key_id, secret = text.split("_")
    assert (prefix, key_id, len(bytes.fromhex(secret))) == ("rp", key.id, 32)
    kept = file.path.read_text()
    assert secret not in kept
    assert hashlib.sha256(text.encode()).hexdigest() in kept
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.path.parent.iterdir() if path.suffix == ".tmp"] == []
    assert read_keys(file.path) == (key,)
    assert (key.scopes, key.rate_limit, key.state) == (("recommend", "events"), 100, "valid")
    assert key.expires_at is not None
    assert key.expires_at - key.created_at == timedelta(days=90)
    assert file.create("shop", ["admin"])[1] != file.create("shop", ["admin"])[1]


def test_revoked_and_expired(file: KeyFile) -> None:
    key, text = file.create("shop", ["events"])
    other, _ = file.create("late", ["events"], expires_in=timedelta(0))
    assert other.state == "expired"
    revoked = file.revoke(text)  # who found a key somewhere may show it whole
    assert (revoked.id, revoked.state) == (key.id, "revoked")
    assert file.revoke(key.id) == revoked
    assert read_keys(file.path) == (revoked, other)


def test_bad_values(file: KeyFile) -> None:
    for name, scopes, rate in (("", ["admin"], 1), ("n", [], 1), ("n", ["root"], 1), ("n", ["admin"], 0)):
        with pytest.raises(InputError):
            file.create(name, scopes, rate_limit=rate)
    with pytest.raises(InputError, match="expires"):
        file.create("n", ["admin"], expires_in=timedelta(days=999_999_999))
    with pytest.raises(InputError, match="there is no key 'nobody'"):
        file.revoke("nobody")
    assert not file.path.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b"null", b'{"keys": [{}]}', b'{"version": 2}', b'{"keys": [], "more": 1}']
)
def test_a_damaged_file_is_neither_read_nor_overwritten(file: KeyFile, content: bytes) -> None:
    file.create("shop", ["admin"])
    file.path.write_bytes(content)
    with pytest.raises(InputError, match=r"keys\.json"):
        read_keys(file.path)
    with pytest.raises(InputError):
        file.create("more", ["admin"])
    assert file.path.read_bytes() == content


def test_two_keys_with_one_id(file: KeyFile) -> None:
    file.create("shop", ["admin"])
    content = json.loads(file.path.read_text())
    file.path.write_text(json.dumps(content | {"keys": content["keys"] * 2}))
    with pytest.raises(InputError, match="two keys with one id"):
        read_keys(file.path)


def test_many_writers(file: KeyFile) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda n: file.create(f"n{n}", ["events"])[0], range(20)))
    assert {key.id for key in read_keys(file.path)} == {key.id for key in made}
