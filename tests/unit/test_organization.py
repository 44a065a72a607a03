import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.errors import Invalid
from meterhouse.domain.organization import MAX_NAME, Key, KeyFormat, check_name, check_organization_id, hash_secret

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
TICK = timedelta(microseconds=1)
FORMATS = [
    KeyFormat("unsiloed_", "0123456789abcdef", 40),
    KeyFormat("op_live_", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 32),
]

formats = st.sampled_from(FORMATS)
randomness = st.binary(min_size=64, max_size=64)


def key(expires_at: datetime | None = None, revoked_at: datetime | None = None) -> Key:
    return Key("k1", "acme", "op_live_ab", "hash", frozenset(), None, NOW - timedelta(days=9), expires_at, revoked_at)


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "valid"),
    [
        (None, None, True),
        (NOW + TICK, None, True),
        (NOW, None, False),
        (NOW - TICK, None, False),
        (None, NOW - TICK, False),
        (NOW + TICK, NOW - TICK, False),
    ],
)
def test_a_key_is_valid_until_it_expires_or_is_revoked(
    expires_at: datetime | None, revoked_at: datetime | None, valid: bool
) -> None:
    assert key(expires_at, revoked_at).valid_at(NOW) is valid


@given(formats, randomness)
def test_minted_secrets_match_their_format(key_format: KeyFormat, random: bytes) -> None:
    secret = key_format.mint(random)
    assert secret.startswith(key_format.prefix)
    assert len(secret) == len(key_format.prefix) + key_format.length
    assert key_format.matches(secret)
    assert not any(other.matches(secret) for other in FORMATS if other is not key_format)


@given(formats, randomness, st.integers(0, 100))
def test_every_random_bit_that_fits_is_used(key_format: KeyFormat, random: bytes, bit: int) -> None:
    flipped = (int.from_bytes(random) ^ (1 << bit)).to_bytes(64)
    assert key_format.mint(random) != key_format.mint(flipped)


@pytest.mark.parametrize("key_format", FORMATS)
def test_the_extremes_of_randomness_can_be_written(key_format: KeyFormat) -> None:
    assert key_format.mint(bytes(64)) == key_format.prefix + "0" * key_format.length
    assert key_format.matches(key_format.mint(b"\xff" * 64))
    assert 160 <= key_format.length * math.log2(len(key_format.alphabet)) <= 512


@pytest.mark.parametrize("key_format", FORMATS)
@pytest.mark.parametrize(
    "change",
    [
        lambda secret: secret[:0],
        lambda secret: secret[:-1],
        lambda secret: secret + "0",
        lambda secret: secret[:-1] + "-",
        lambda secret: secret[:-1] + "\n",
        lambda secret: secret[:-1] + "é",
        lambda secret: " " + secret,
        lambda secret: secret[1:],
        lambda secret: secret.replace("_", "-", 1),
        lambda secret: secret.swapcase(),
        lambda secret: secret * 1000,
    ],
)
def test_other_secrets_do_not_match(key_format: KeyFormat, change: Callable[[str], str]) -> None:
    assert not key_format.matches(change(key_format.mint(bytes(range(64)))))


def test_the_prefix_counts_once() -> None:
    key_format = FORMATS[0]
    secret = key_format.mint(bytes(64))
    assert not key_format.matches(key_format.prefix + secret)


def test_secrets_are_hashed_with_sha_256() -> None:
    assert hash_secret("unsiloed_1") == hashlib.sha256(b"unsiloed_1").hexdigest()
    assert hash_secret("unsiloed_1") != hash_secret("unsiloed_2")


@pytest.mark.parametrize(
    "text", ["a", "7", "acme", "org_1.2:3@eu-west", "A" * 128, "0b9f3c1e-5d0e-4a55-9f0a-000000000000"]
)
def test_organization_ids(text: str) -> None:
    assert check_organization_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "-a",
        ".",
        "..",
        "_a",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a%2f",
        "é",
        "a\n",
        "a\0",
        "٣",
        "a" * 129,
        "x" * 10_000,
    ],
)
def test_ids_that_could_not_stand_in_a_path(text: str) -> None:
    with pytest.raises(Invalid, match="organization id") as refused:
        check_organization_id(text)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "name",
    [
        "Acme Ünïcode ™",
        "株式会社\u3000山田",
        "نرم\u200cافزار شرکت",
        "Société\u00a0Générale",
        "👩\u200d💻 Studio",
        "🏳\ufe0f\u200d🌈 GmbH",
        "क्\u200dष",
        "x" * MAX_NAME,
    ],
)
def test_names_of_any_script_are_taken(name: str) -> None:
    assert check_name(name, "name") == name


UNREADABLE = "\0\t\n\r\x1b\x7f\x85\u2028\u2029\u202e\u2066\ufeff\ud800\ue000"


@pytest.mark.parametrize("name", ["", "x" * (MAX_NAME + 1), *(f"a{each}b" for each in UNREADABLE)])
def test_what_nobody_can_read_is_no_name(name: str) -> None:
    with pytest.raises(Invalid, match="name must have"):
        check_name(name, "name")
