"""Who guesses keys is slowed down, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from meterhouse.http.attempts import Attempts
from support.server import ADMIN_KEY, Server, event, serve

LIMIT = 100
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
def guessed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that nobody has used yet, and whose admin key was guessed at from 127.0.0.1."""
    with serve(tmp_path_factory.mktemp("guessed") / "data") as server:
        for number in range(LIMIT):
            answer = server.http.get("/v1/organizations", headers={"authorization": f"Bearer guess-{number}"})
            assert answer.status_code == 401
        yield server


def elsewhere(server: Server) -> httpx.Client:
    """A client with another address of this machine."""
    transport = httpx.HTTPTransport(local_address="127.0.0.2")
    return httpx.Client(base_url=server.http.base_url, transport=transport, timeout=30)


def test_beyond_the_limit_no_key_is_looked_at(guessed: Server) -> None:
    small = [event("credit.used", "acme", {"amount": 1})]
    asked = [
        guessed.http.get("/v1/organizations", headers={"authorization": "Bearer another-guess"}),
        guessed.http.get("/v1/organizations/acme/usage", headers={"authorization": "Bearer another-guess"}),
        guessed.http.post("/v1/events?namespace=unsiloed", json=small, headers={"authorization": "Bearer a-guess"}),
        # Also the right one, or the next guess would be as good as the first.
        guessed.http.get("/v1/organizations", headers=ADMIN),
        guessed.http.post("/v1/events?namespace=unsiloed", json=small, headers=ADMIN),
    ]
    for answer in asked:
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert "METERHOUSE_FAILED_KEYS_PER_MINUTE" in answer.json()["detail"]
    assert guessed.http.get("/v1/organizations").status_code == 401  # no key is no guess
    assert guessed.http.get("/healthz").status_code == 200


def test_other_addresses_and_keys_that_were_right_go_on(guessed: Server) -> None:
    small = [event("credit.used", "acme", {"amount": 1})]
    with elsewhere(guessed) as other:
        body = {"id": "acme", "name": "Acme", "namespace": "unsiloed"}
        assert other.post("/v1/organizations", json=body, headers=ADMIN).status_code == 201
        key = other.post("/v1/organizations/acme/keys", headers=ADMIN).json()["key"]
        own = {"authorization": f"Bearer {key}"}
        assert guessed.http.get("/v1/organizations/acme/usage", headers=own).status_code == 429
        assert other.get("/v1/organizations/acme/usage", headers=own).status_code == 200
    # They have been right once now, and are answered from everywhere; in the contract's shape they always were.
    assert guessed.http.get("/v1/organizations/acme/usage", headers=own).status_code == 200
    assert guessed.http.get("/org/get_usage", headers={"api-key": key}).status_code == 200
    assert guessed.http.post("/v1/events?namespace=unsiloed", json=small, headers=ADMIN).status_code == 200
    assert guessed.http.get("/v1/organizations", headers={"authorization": "Bearer a-guess"}).status_code == 429


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_minute_later_there_are_new_attempts() -> None:
    clock = Clock()
    attempts = Attempts(2, clock)
    assert [attempts.wait_s("a", "k"), attempts.failed("a"), attempts.failed("a")][0] == 0
    assert attempts.wait_s("a", "k") == 61
    clock.now_s = 59.5
    assert (attempts.wait_s("a", "k"), attempts.wait_s("b", "k")) == (1, 0)
    clock.now_s = 60
    assert attempts.wait_s("a", "k") == 0


def test_memory_is_bounded() -> None:
    attempts = Attempts(1)
    for number in range(30_000):
        attempts.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        attempts.succeeded(f"key-{number}")
    assert (len(attempts._failures), len(attempts._right)) == (10_000, 10_000)
    assert attempts.wait_s("10.0.117.47", "new") > 0
    assert attempts.wait_s("10.0.117.47", "key-29999") == 0


def test_an_ipv6_client_has_one_place_however_many_addresses_it_has() -> None:
    attempts = Attempts(1)
    attempts.failed("2001:db8::1")
    assert attempts.wait_s("2001:db8::ffff:1", "k") > 0
    assert attempts.wait_s("2001:db8:0:1::1", "k") == 0
    attempts.failed("::ffff:192.0.2.1")
    assert attempts.wait_s("192.0.2.1", "k") > 0


def test_without_a_limit() -> None:
    attempts = Attempts(0)
    attempts.failed("a")
    assert attempts.wait_s("a", "k") == 0
