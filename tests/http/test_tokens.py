"""JSON Web Tokens: which are taken, and when the keys to verify them are read."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from meterhouse.http import tokens
from meterhouse.http.tokens import (
    CACHED_FOR_S,
    LEEWAY_S,
    MAX_JWKS_BYTES,
    MAX_TOKEN_BYTES,
    REREAD_EVERY_S,
    TokensUnavailable,
    TokenVerifier,
)
from support.depth import by_depth

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
ISSUER = "https://clerk.example.com"
AUDIENCE = "meterhouse"
KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
SHORT_KEY = rsa.generate_private_key(65537, 1024)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user_1", "exp": NOW_S + 60, "nbf": NOW_S - 5, "iat": NOW_S - 5}


class Clock:
    """The wall clock, standing."""

    def now(self) -> datetime:
        return NOW


@dataclass
class Stopwatch:
    """The monotonic clock, moved by hand."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


def brief(value: object) -> str:
    """The beginning of a parameter, as its test's name; what follows may be long, or new in every run."""
    return ascii(value)[:24]


def jwk(key: rsa.RSAPrivateKey = KEY, kid: str | None = "first", **members: Any) -> dict[str, Any]:
    made = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": kid, "use": "sig", **members}
    return {name: value for name, value in made.items() if value is not None}


def ec_jwk(kid: str = "first") -> dict[str, Any]:
    return jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True) | {"kid": kid, "use": "sig"}


def key_set(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def signed(
    claims: Mapping[str, Any] | None = None,
    key: Any = KEY,
    *,
    kid: str | None = "first",
    algorithm: str = "RS256",
    **changes: Any,
) -> str:
    """A token; a claim that is changed to None is left out."""
    content = {name: value for name, value in {**(claims or CLAIMS), **changes}.items() if value is not None}
    return jwt.encode(content, key, algorithm, headers=None if kid is None else {"kid": kid})


def signed_text(payload: str) -> str:
    """A token whose payload is this very text."""
    return jwt.api_jws.encode(payload.encode(), KEY, "RS256", {"kid": "first"})


def encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).rstrip(b"=").decode()


@dataclass
class Provider:
    """An identity provider on loopback: what it answers, and how often it was asked."""

    body: bytes = field(default_factory=lambda: key_set(jwk()))
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0
    """How long each byte takes, or the whole answer when it does not drip."""
    drips: bool = False
    reads: int = 0
    asked: threading.Event = field(default_factory=threading.Event)
    may_answer: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def __post_init__(self) -> None:
        self.may_answer.set()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.reads += 1
                provider.asked.set()
                provider.may_answer.wait(10)
                body = provider.body
                self.send_response(provider.status)
                for name, value in {"content-length": str(len(body)), **provider.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                pieces = [body[index : index + 1] for index in range(len(body))] if provider.drips else [body]
                try:
                    for piece in pieces:
                        time.sleep(provider.pause_s)
                        self.wfile.write(piece)
                except OSError:
                    pass  # nobody listens any more

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"

    def stop(self) -> None:
        """From now on connections are refused."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.may_answer.set()
    provider.stop()


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def verifier(provider: Provider, stopwatch: Stopwatch) -> TokenVerifier:
    return TokenVerifier(provider.url, ISSUER, AUDIENCE, Clock(), monotonic=stopwatch)


@pytest.fixture(scope="module")
def from_file(tmp_path_factory: pytest.TempPathFactory) -> TokenVerifier:
    path = tmp_path_factory.mktemp("tokens") / "jwks.json"
    path.write_bytes(key_set(jwk()))
    return TokenVerifier(str(path), ISSUER, AUDIENCE, Clock())


def of_keys(folder: Path, *keys: Mapping[str, Any]) -> TokenVerifier:
    path = folder / "jwks.json"
    path.write_bytes(key_set(*keys))
    return TokenVerifier(str(path), ISSUER, AUDIENCE, Clock())


# Claims


def test_a_valid_token_gives_its_claims(from_file: TokenVerifier, verifier: TokenVerifier) -> None:
    token = signed(org_id="org_1", o={"id": "org_1"})
    assert from_file.verify(token) == verifier.verify(token) == {**CLAIMS, "org_id": "org_1", "o": {"id": "org_1"}}


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_may_do_without(from_file: TokenVerifier, claim: str) -> None:
    assert from_file.verify(signed(**{claim: None})) is not None


@pytest.mark.parametrize("claim", ["exp", "sub", "iss", "aud"])
def test_a_token_may_not_do_without(from_file: TokenVerifier, claim: str) -> None:
    assert from_file.verify(signed(**{claim: None})) is None


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://clerk.example.com.evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": ""},
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"aud": []},
        {"aud": [AUDIENCE, 5]},
        {"aud": {AUDIENCE: True}},
        {"sub": ""},
        {"sub": 5},
        {"sub": "x" * 201},
        {"sub": "a\0b"},
        {"sub": "a\ud800b"},
    ],
)
def test_a_token_for_another_or_of_another_is_refused(from_file: TokenVerifier, change: dict[str, Any]) -> None:
    assert from_file.verify(signed(**change)) is None


def test_an_issuer_in_a_list_is_no_issuer(from_file: TokenVerifier) -> None:
    assert from_file.verify(signed_text(json.dumps({**CLAIMS, "iss": [ISSUER]}))) is None


@pytest.mark.parametrize("change", [{"aud": ["another", AUDIENCE]}, {"sub": "x" * 200}, {"sub": "Zoë 李"}])
def test_a_token_for_several_or_of_an_unusual_name_is_taken(from_file: TokenVerifier, change: dict[str, Any]) -> None:
    assert from_file.verify(signed(**change)) == {**CLAIMS, **change}


def test_who_does_not_check_issuer_and_audience_takes_any(provider: Provider) -> None:
    lenient = TokenVerifier(provider.url, None, None, Clock())
    for change in ({}, {"iss": None}, {"aud": None}, {"iss": "x", "aud": ["x", "y"]}):
        assert lenient.verify(signed(**change)) is not None
    assert lenient.verify(signed(key=OTHER_KEY)) is None


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"exp": NOW_S - LEEWAY_S + 1}, True),
        ({"exp": NOW_S - LEEWAY_S + 0.001}, True),
        ({"exp": NOW_S - LEEWAY_S}, False),
        ({"exp": NOW_S - LEEWAY_S - 1}, False),
        ({"nbf": NOW_S + LEEWAY_S - 1}, True),
        ({"nbf": NOW_S + LEEWAY_S}, True),
        ({"nbf": NOW_S + LEEWAY_S + 0.001}, False),
        ({"nbf": NOW_S + LEEWAY_S + 1}, False),
        ({"iat": NOW_S + LEEWAY_S}, True),
        ({"iat": NOW_S + LEEWAY_S + 1}, False),
    ],
)
def test_a_token_is_in_force_by_the_servers_clock(
    from_file: TokenVerifier, change: dict[str, Any], *, taken: bool
) -> None:
    assert (from_file.verify(signed(**change)) is not None) is taken


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value",
    ["1e400", "-1e400", "NaN", "Infinity", '"4000000000"', '""', "true", "false", "null", "[]", "{}", "9" * 5000],
    ids=brief,
)
def test_a_time_must_be_a_number(from_file: TokenVerifier, claim: str, value: str) -> None:
    payload = json.dumps({**CLAIMS, claim: "HERE"}).replace('"HERE"', value)
    assert from_file.verify(signed_text(payload)) is None


@pytest.mark.parametrize(
    "payload",
    ["", "null", "[]", '"text"', "5", "{", "\ufeff{}", '{"exp": 1e999', "[" * 5000, '{"a":' * 900 + "1" + "}" * 900],
    ids=brief,
)
def test_a_signature_excuses_no_nonsense(from_file: TokenVerifier, payload: str) -> None:
    assert from_file.verify(signed_text(payload)) is None


@pytest.mark.parametrize("expiry", [10**18, 10**400, 4e9, 1e300])
def test_far_away_expiries_are_numbers_too(from_file: TokenVerifier, expiry: float) -> None:
    assert from_file.verify(signed(exp=expiry)) is not None


# Signatures


def by_hand(header: Mapping[str, Any], secret: bytes | None = None) -> str:
    """A token that no library would make: signed with HS256, or with three bytes that mean nothing."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(CLAIMS).encode())}"
    signature = b"abc" if secret is None else hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{encoded(signature)}"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, ["none"], ["RS256"], {}, 5])
def test_a_token_without_a_signature_is_refused(verifier: TokenVerifier, provider: Provider, algorithm: object) -> None:
    token = by_hand({"alg": algorithm, "kid": "first"})
    for each in (token, token.rpartition(".")[0] + ".", token.rpartition(".")[0]):
        assert verifier.verify(each) is None
    assert provider.reads == 0


@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, PublicFormat.PKCS1])
@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_the_public_key_is_no_secret(
    verifier: TokenVerifier, provider: Provider, encoding: Encoding, form: PublicFormat
) -> None:
    public = KEY.public_key().public_bytes(encoding, form)
    for secret in (public, public.rstrip(b"\n"), jwk()["n"].encode()):
        assert verifier.verify(by_hand({"alg": "HS256", "kid": "first"}, secret)) is None
    assert provider.reads == 0
    for secret in (public, jwk()["n"].encode()):
        assert verifier.verify(by_hand({"alg": "RS256", "kid": "first"}, secret)) is None


def test_a_symmetric_key_in_the_set_verifies_nothing(tmp_path: Path) -> None:
    secret = b"0123456789abcdef0123456789abcdef"
    symmetric = {"kty": "oct", "kid": "first", "k": encoded(secret)}
    verifier = of_keys(tmp_path, symmetric, jwk(kid="second"))
    assert verifier.verify(by_hand({"alg": "HS256", "kid": "first"}, secret)) is None
    assert verifier.verify(signed(kid="second")) is not None


def test_an_elliptic_key_in_the_set_verifies_nothing(tmp_path: Path) -> None:
    verifier = of_keys(tmp_path, ec_jwk(), jwk(kid="second"))
    assert verifier.verify(signed(key=EC_KEY, algorithm="ES256")) is None
    assert verifier.verify(signed(kid="second")) is not None


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
def test_the_right_key_with_another_algorithm_is_refused(
    verifier: TokenVerifier, provider: Provider, algorithm: str
) -> None:
    assert verifier.verify(signed(algorithm=algorithm)) is None
    assert provider.reads == 0


def test_another_key_under_the_same_id_is_refused(from_file: TokenVerifier) -> None:
    assert from_file.verify(signed(key=OTHER_KEY)) is None


def test_a_key_that_the_token_brings_along_is_not_looked_at(from_file: TokenVerifier) -> None:
    brought = {"kid": "first", "jwk": jwk(OTHER_KEY), "jku": "http://127.0.0.1:9/", "x5u": "http://127.0.0.1:9/"}
    assert from_file.verify(jwt.encode(CLAIMS, OTHER_KEY, "RS256", brought)) is None


def test_changed_claims_are_refused(from_file: TokenVerifier) -> None:
    header, _, signature = signed().split(".")
    changed = encoded(json.dumps({**CLAIMS, "sub": "user_2"}).encode())
    assert from_file.verify(f"{header}.{changed}.{signature}") is None


def test_a_header_that_demands_an_unknown_extension_is_refused(from_file: TokenVerifier) -> None:
    token = jwt.encode(CLAIMS, KEY, "RS256", {"kid": "first", "crit": ["exp"], "exp": 1})
    assert from_file.verify(token) is None


@pytest.mark.parametrize(
    "unusable",
    [
        jwk(alg="RS512"),
        jwk(alg="PS256"),
        jwk(alg="HS256"),
        jwk(alg=["RS256"]),
        jwk(use="enc"),
        jwk(use=5),
        jwk(kty="EC"),
        jwk(kty=["RSA"]),
        jwk(n="!"),
        jwk(n=5),
        jwk(e="AQ"),
        jwt.algorithms.RSAAlgorithm.to_jwk(KEY, as_dict=True) | {"kid": "first"},
        {"kid": "first"},
        "first",
        None,
    ],
)
def test_a_key_for_another_purpose_is_not_used(tmp_path: Path, unusable: Any) -> None:
    verifier = of_keys(tmp_path, unusable, jwk(OTHER_KEY, "second"))
    assert verifier.verify(signed()) is None
    assert verifier.verify(signed(key=OTHER_KEY, kid="second")) is not None


def test_a_key_that_is_too_short_is_not_used(tmp_path: Path) -> None:
    verifier = of_keys(tmp_path, jwk(SHORT_KEY), jwk(OTHER_KEY, "second"))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = signed(key=SHORT_KEY)
    assert verifier.verify(token) is None
    assert verifier.verify(signed(key=OTHER_KEY, kid="second")) is not None


@pytest.mark.parametrize("members", [{}, {"alg": "RS256"}, {"use": None}, {"x5t": "abc"}])
def test_a_key_need_not_say_what_it_is_for(tmp_path: Path, members: dict[str, Any]) -> None:
    assert of_keys(tmp_path, jwk(**members)).verify(signed()) is not None


def test_without_a_key_id_there_must_be_one_usable_key(tmp_path: Path) -> None:
    one = of_keys(tmp_path, jwk(), ec_jwk("second"), jwk(OTHER_KEY, "third", use="enc"))
    assert one.verify(signed(kid=None)) is not None
    assert of_keys(tmp_path, jwk(kid=None)).verify(signed(kid=None)) is not None
    assert of_keys(tmp_path, jwk(kid=None)).verify(signed()) is None
    assert of_keys(tmp_path, jwk(), jwk(OTHER_KEY, "second")).verify(signed(kid=None)) is None


def test_a_key_id_must_be_a_text(from_file: TokenVerifier) -> None:
    for kid in (5, None, ["first"], {"first": 1}):
        assert from_file.verify(by_hand({"alg": "RS256", "kid": kid})) is None


# Junk


def test_a_token_has_at_most_8_kib(from_file: TokenVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [signed(pad="x" * length) for length in range(5600, 5800)]
    fits = max((token for token in made if len(token) <= MAX_TOKEN_BYTES), key=len)
    larger = min((token for token in made if len(token) > MAX_TOKEN_BYTES), key=len)
    assert len(larger) - len(fits) <= 2  # base64 has no length of 4n + 1
    assert from_file.verify(fits) is not None
    assert from_file.verify(larger) is None

    def opened(_: str) -> None:
        raise AssertionError("the token was decoded")

    monkeypatch.setattr(jwt, "get_unverified_header", opened)
    for length in (MAX_TOKEN_BYTES + 1, 10_000_000):
        assert from_file.verify("a.b." + "c" * (length - 4)) is None
    with pytest.raises(AssertionError):
        from_file.verify("a.b." + "c" * (MAX_TOKEN_BYTES - 4))


@pytest.mark.parametrize(
    "junk",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "ä.ö.ü",
        "\ud800.a.b",
        "a.b.c\n",
        "e30.e30.e30",
        f"{encoded(b'[' * 3000)}.e30.e30",
        f"{encoded(b'nul')}.e30.e30",
        encoded(b'{"alg":' + b"9" * 5000 + b"}") + ".e30.e30",
    ],
    ids=brief,
)
def test_what_is_no_token_is_refused_without_reading_keys(
    verifier: TokenVerifier, provider: Provider, junk: str
) -> None:
    assert verifier.verify(junk) is None
    assert provider.reads == 0


@pytest.mark.parametrize("around", [" {}", "{} ", "{}\n", "{}=", "{}.", ".{}", "Bearer {}", "{}\0"])
def test_nothing_may_stand_around_a_token(from_file: TokenVerifier, around: str) -> None:
    assert from_file.verify(around.format(signed())) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["RS256", "none", "HS256"]) | JSON,
        "kid": st.sampled_from(["first", "x"]) | JSON,
        "typ": JSON,
        "crit": JSON | st.just(["b64"]),
        "b64": JSON,
        "zip": JSON,
    },
)


@given(st.data())
@settings(max_examples=by_depth(60, 300, 3_000), deadline=None)
def test_junk_is_refused_and_breaks_nothing(from_file: TokenVerifier, data: st.DataObject) -> None:
    part = st.one_of(
        st.binary(max_size=40).map(encoded),
        HEADERS.map(lambda header: encoded(json.dumps(header).encode())),
        st.text(max_size=20),
    )
    junk = st.text() | st.lists(part, min_size=3, max_size=3).map(".".join)
    assert from_file.verify(data.draw(junk)) is None


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(CLAIMS, JSON)))
@settings(max_examples=by_depth(40, 200, 2_000), deadline=None)
def test_signed_junk_breaks_nothing(from_file: TokenVerifier, junk: dict[str, Any]) -> None:
    content = {**CLAIMS, **junk}
    claims = from_file.verify(signed_text(json.dumps(content)))
    if claims is not None:
        assert (claims["iss"], claims["aud"]) in ((ISSUER, AUDIENCE), (ISSUER, [AUDIENCE]))
        assert isinstance(claims["sub"], str)
        assert claims["exp"] > NOW_S - LEEWAY_S
        assert max(claims["nbf"], claims["iat"]) <= NOW_S + LEEWAY_S


# Reading the keys


def test_the_keys_are_read_once_for_many_tokens(verifier: TokenVerifier, provider: Provider) -> None:
    assert provider.reads == 0
    for number in range(100):
        assert verifier.verify(signed(sub=f"user_{number}")) is not None
    assert provider.reads == 1


def test_eight_threads_read_the_keys_once(verifier: TokenVerifier, provider: Provider) -> None:
    provider.pause_s = 0.2
    together = threading.Barrier(8)

    def verify(number: int) -> bool:
        token = signed(sub=f"user_{number}")
        together.wait()
        return verifier.verify(token) is not None

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(verify, range(8))) == [True] * 8
    assert provider.reads == 1


def test_the_keys_are_read_again_when_they_have_aged(
    verifier: TokenVerifier, provider: Provider, stopwatch: Stopwatch
) -> None:
    assert verifier.verify(signed()) is not None
    stopwatch.seconds += CACHED_FOR_S - 1
    assert verifier.verify(signed()) is not None
    assert provider.reads == 1
    stopwatch.seconds += 1
    assert verifier.verify(signed()) is not None
    assert provider.reads == 2


def test_an_unknown_key_id_causes_one_read_in_ten_seconds(
    verifier: TokenVerifier, provider: Provider, stopwatch: Stopwatch
) -> None:
    assert verifier.verify(signed()) is not None
    assert verifier.verify(signed(kid="x")) is None
    assert provider.reads == 2
    for number in range(20):
        assert verifier.verify(signed(kid=f"x{number}")) is None
    stopwatch.seconds += REREAD_EVERY_S - 0.5
    assert verifier.verify(signed(kid="y")) is None
    assert provider.reads == 2
    stopwatch.seconds += 0.5
    assert verifier.verify(signed(kid="x")) is None
    assert verifier.verify(signed(kid="x")) is None
    assert provider.reads == 3
    assert verifier.verify(signed()) is not None


def test_a_flood_of_unknown_key_ids_from_many_threads_causes_one_read(
    verifier: TokenVerifier, provider: Provider
) -> None:
    assert verifier.verify(signed()) is not None
    provider.pause_s = 0.1
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(verifier.verify, [signed(kid=f"x{number}") for number in range(40)])) == {None}
    assert provider.reads == 2


def test_a_new_key_works_at_once_and_the_old_one_until_it_is_withdrawn(
    verifier: TokenVerifier, provider: Provider, stopwatch: Stopwatch
) -> None:
    assert verifier.verify(signed()) is not None
    provider.body = key_set(jwk(), jwk(OTHER_KEY, "second"))
    assert verifier.verify(signed(key=OTHER_KEY, kid="second")) is not None
    assert verifier.verify(signed()) is not None
    provider.body = key_set(jwk(OTHER_KEY, "second"))
    stopwatch.seconds += CACHED_FOR_S - 1
    assert verifier.verify(signed()) is not None
    stopwatch.seconds += 1
    assert verifier.verify(signed()) is None
    assert verifier.verify(signed(key=OTHER_KEY, kid="second")) is not None


def test_a_key_replaced_under_its_id_works_when_the_old_one_has_aged(
    verifier: TokenVerifier, provider: Provider, stopwatch: Stopwatch
) -> None:
    assert verifier.verify(signed()) is not None
    provider.body = key_set(jwk(OTHER_KEY))
    stopwatch.seconds += CACHED_FOR_S
    assert verifier.verify(signed()) is None
    assert verifier.verify(signed(key=OTHER_KEY)) is not None


def test_a_file_is_read_again_too(tmp_path: Path) -> None:
    stopwatch = Stopwatch()
    path = tmp_path / "jwks.json"
    path.write_bytes(key_set(jwk()))
    verifier = TokenVerifier(str(path), ISSUER, AUDIENCE, Clock(), monotonic=stopwatch)
    assert verifier.verify(signed()) is not None
    path.write_bytes(key_set(jwk(OTHER_KEY, "second")))
    assert verifier.verify(signed(key=OTHER_KEY, kid="second")) is not None
    path.unlink()
    stopwatch.seconds += CACHED_FOR_S
    assert verifier.verify(signed(key=OTHER_KEY, kid="second")) is not None


def test_tokens_of_a_known_key_do_not_wait_for_a_read(
    verifier: TokenVerifier, provider: Provider, stopwatch: Stopwatch
) -> None:
    assert verifier.verify(signed()) is not None
    stopwatch.seconds += CACHED_FOR_S
    provider.asked.clear()
    provider.may_answer.clear()
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(verifier.verify, signed())
        assert provider.asked.wait(5)
        assert pool.submit(verifier.verify, signed()).result(2) is not None
        assert not reading.done()
        provider.may_answer.set()
        assert reading.result(5) is not None
    assert provider.reads == 2


def test_while_the_provider_is_down_the_keys_stay_and_the_log_says_so(
    verifier: TokenVerifier, provider: Provider, stopwatch: Stopwatch
) -> None:
    token = signed(sub="user_secret")
    assert verifier.verify(token) is not None
    provider.status = 503
    stopwatch.seconds += CACHED_FOR_S
    with capture_logs() as logs:
        assert verifier.verify(token) is not None
        assert verifier.verify(token) is not None
        assert verifier.verify(signed(kid="x")) is None
    assert provider.reads == 2
    (line,) = logs
    assert line["log_level"] == "warning"
    assert "503" in line["reason"]
    assert provider.url in line["reason"]
    assert line["age_s"] == CACHED_FOR_S
    assert not [secret for secret in (token, token.split(".")[1], "user_secret") if secret in str(logs)]
    provider.status, provider.body = 200, key_set(jwk(OTHER_KEY))
    stopwatch.seconds += REREAD_EVERY_S
    assert verifier.verify(token) is None


def test_a_provider_that_refuses_connections_leaves_the_keys_in_use(stopwatch: Stopwatch) -> None:
    provider = Provider()
    try:
        verifier = TokenVerifier(provider.url, ISSUER, AUDIENCE, Clock(), monotonic=stopwatch)
        assert verifier.verify(signed()) is not None
    finally:
        provider.stop()
    stopwatch.seconds += CACHED_FOR_S
    assert verifier.verify(signed()) is not None
    fresh = TokenVerifier(provider.url, ISSUER, AUDIENCE, Clock())
    with pytest.raises(TokensUnavailable, match="ConnectError"):
        fresh.verify(signed())
    assert fresh.verify("junk") is None


def test_without_any_keys_the_provider_is_asked_every_ten_seconds(
    verifier: TokenVerifier, provider: Provider, stopwatch: Stopwatch
) -> None:
    provider.status = 500
    for _ in range(10):
        with pytest.raises(TokensUnavailable, match="500"):
            verifier.verify(signed())
    assert provider.reads == 1
    stopwatch.seconds += REREAD_EVERY_S
    provider.status = 200
    assert verifier.verify(signed()) is not None
    assert provider.reads == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"[]",
        b"{}",
        b'{"keys": null}',
        b'{"keys": []}',
        b'{"keys": {"kid": "first"}}',
        b'{"keys": [null, 5, [], {}]}',
        b"\xff\xfe\xff",
        b"[" * 100_000,
        b'{"keys": ' + b"9" * 5000 + b"}",
        key_set(ec_jwk()),
        key_set(jwk())[:-1],
    ],
    ids=brief,
)
def test_a_key_set_that_is_none_counts_as_a_failed_read(
    verifier: TokenVerifier, provider: Provider, stopwatch: Stopwatch, body: bytes
) -> None:
    right, provider.body = provider.body, body
    with pytest.raises(TokensUnavailable):
        verifier.verify(signed())
    provider.body = right
    stopwatch.seconds += REREAD_EVERY_S
    assert verifier.verify(signed()) is not None
    provider.body = body
    stopwatch.seconds += CACHED_FOR_S
    assert verifier.verify(signed()) is not None
    assert provider.reads == 3


def padded(size: int) -> bytes:
    body = key_set(jwk())
    return body + b" " * (size - len(body))


def test_a_key_set_has_at_most_1_mib(provider: Provider, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    for size, taken in ((MAX_JWKS_BYTES, True), (MAX_JWKS_BYTES + 1, False)):
        provider.body = padded(size)
        path.write_bytes(padded(size))
        for source in (provider.url, str(path)):
            verifier = TokenVerifier(source, ISSUER, AUDIENCE, Clock())
            if taken:
                assert verifier.verify(signed()) is not None
            else:
                with pytest.raises(TokensUnavailable, match="larger"):
                    verifier.verify(signed())


def test_a_redirect_is_not_followed(verifier: TokenVerifier, provider: Provider) -> None:
    provider.status, provider.headers = 302, {"location": provider.url}
    with pytest.raises(TokensUnavailable, match="302"):
        verifier.verify(signed())
    assert provider.reads == 1


@pytest.mark.parametrize("drips", [False, True])
def test_a_slow_provider_is_given_up(
    verifier: TokenVerifier, provider: Provider, monkeypatch: pytest.MonkeyPatch, *, drips: bool
) -> None:
    monkeypatch.setattr(tokens, "READ_WITHIN_S", 0.2)
    provider.drips, provider.pause_s = drips, 0.02 if drips else 0.6
    began = time.monotonic()
    with pytest.raises(TokensUnavailable, match="longer than" if drips else "ReadTimeout"):
        verifier.verify(signed())
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("jwks", ["", "nowhere.json", "/", "http://", "http://[", "https://a:b/", "ftp://a/b", "a\0b"])
def test_a_source_that_cannot_be_read_makes_tokens_unavailable(jwks: str, tmp_path: Path) -> None:
    verifier = TokenVerifier(jwks and jwks.replace("nowhere", f"{tmp_path}/nowhere"), None, None, Clock())
    with pytest.raises(TokensUnavailable):
        verifier.verify(signed())


def test_what_is_secret_in_the_url_is_not_told() -> None:
    verifier = TokenVerifier("HTTP://user:hush@127.0.0.1:1/keys?token=hush#hush", None, None, Clock())
    with pytest.raises(TokensUnavailable, match=r"HTTP://127\.0\.0\.1:1/keys: ConnectError") as told:
        verifier.verify(signed())
    assert "hush" not in str(told.value)


def test_the_machines_clock_plays_no_part(provider: Provider) -> None:
    @dataclass
    class Frozen:
        at: datetime

        def now(self) -> datetime:
            return self.at

    for years in (-20, 20):
        at = NOW + timedelta(days=365 * years)
        moment = int(at.timestamp())
        verifier = TokenVerifier(provider.url, ISSUER, AUDIENCE, Frozen(at))
        assert verifier.verify(signed(exp=moment + 60, nbf=moment, iat=moment)) is not None
        assert verifier.verify(signed(exp=moment - 60, nbf=moment - 90, iat=moment - 90)) is None
