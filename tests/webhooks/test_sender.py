"""One attempt over the network: what it takes from a receiver, and where it never goes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from meterhouse.domain.delivery import AttemptOutcome
from meterhouse.webhooks import sender
from meterhouse.webhooks.sender import AiohttpSender, SenderOptions
from support.receivers import Received, Receiver, answering, receiving

HEADERS = {"content-type": "application/json", "webhook-id": "msg_1"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def sent(
    url: str, *more: str, private: bool = True, timeout: int = 20, resolver: AbstractResolver | None = None
) -> list[AttemptOutcome]:
    """How attempts end that are made one after the other."""

    async def send() -> list[AttemptOutcome]:
        sending = AiohttpSender(SenderOptions(timeout, private, "Meterhouse/test"), resolver)
        await sending.open()
        outcomes = [await sending.send(each, HEADERS, b'{"a":1}') for each in (url, *more)]
        await sending.close()
        return outcomes

    return asyncio.run(send())


def test_a_message_arrives_as_it_is(receiver: Receiver) -> None:
    [outcome] = sent(receiver.url)
    assert (outcome.status, outcome.error, outcome.answer) == (200, None, "thanks")
    [received] = receiver.received
    assert (received.path, received.body) == ("/hook", b'{"a":1}')
    assert HEADERS.items() <= received.headers.items()
    assert received.headers["user-agent"] == "Meterhouse/test"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_a_success(receiver: Receiver, status: int) -> None:
    receiver.answer = answering(status)
    assert sent(receiver.url)[0].succeeded


@pytest.mark.parametrize("status", [400, 401, 404, 410, 429, 500, 503])
def test_everything_else_has_failed(receiver: Receiver, status: int) -> None:
    receiver.answer = answering(status, b"no \x00 \xff")
    [outcome] = sent(receiver.url)
    assert (outcome.status, outcome.error, outcome.answer) == (status, f"answered {status}", "no \ufffd \ufffd")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_so_that_a_loop_ends(receiver: Receiver, status: int) -> None:
    receiver.answer = answering(status, location=receiver.url)
    [outcome] = sent(receiver.url)
    assert outcome.error == f"answered {status}: redirects are not followed, name the URL that it leads to"
    assert len(receiver.received) == 1


def test_who_answers_too_late_has_not_answered(receiver: Receiver) -> None:
    over = threading.Event()

    def late(handler: BaseHTTPRequestHandler, received: Received) -> None:
        over.wait(29)
        answering(200)(handler, received)

    receiver.answer = late
    [outcome] = sent(receiver.url, timeout=1)
    over.set()
    assert (outcome.status, outcome.error) == (None, "no answer within 1 s")


def test_of_an_answer_without_end_little_is_read(receiver: Receiver) -> None:
    written: list[int] = []

    def endless(handler: BaseHTTPRequestHandler, _received: Received) -> None:
        handler.send_response(200)
        handler.send_header("content-length", str(10 * 1024**3))
        handler.end_headers()
        while True:
            written.append(handler.wfile.write(b"x" * 65_536))

    receiver.answer = endless
    [outcome] = sent(receiver.url)
    assert (outcome.error, outcome.answer) == (None, "x" * 500)
    assert sum(written) < 64 * 1024**2  # what fits into the buffers of two sockets


def test_an_answer_that_goes_on_slowly_is_a_success_when_the_time_is_over(receiver: Receiver) -> None:
    over = threading.Event()

    def slow(handler: BaseHTTPRequestHandler, _received: Received) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "100")
        handler.end_headers()
        handler.wfile.write(b"begun")
        over.wait(29)

    receiver.answer = slow
    [outcome] = sent(receiver.url, timeout=1)
    over.set()
    assert (outcome.status, outcome.error, outcome.answer) == (200, None, "begun")


def closes(handler: BaseHTTPRequestHandler, _received: Received) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def speaks_something_else(handler: BaseHTTPRequestHandler, received: Received) -> None:
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    closes(handler, received)


def writes_headers_without_end(handler: BaseHTTPRequestHandler, _received: Received) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"x-more: " + b"x" * 8_000 + b"\r\n")


@pytest.mark.parametrize("answer", [closes, speaks_something_else, writes_headers_without_end])
def test_who_does_not_answer_in_http_has_not_answered(
    receiver: Receiver, answer: Callable[[BaseHTTPRequestHandler, Received], None]
) -> None:
    receiver.answer = answer
    [outcome] = sent(receiver.url)
    assert outcome.status is None
    assert outcome.error


def test_nobody_listens() -> None:
    with receiving() as gone:
        url = gone.url
    [outcome] = sent(url)
    assert outcome.error is not None
    assert outcome.error.startswith("cannot be sent: ")


class TestAddresses:
    @pytest.mark.parametrize(
        "host",
        [
            *("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "0", "0.0.0.0"),
            *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
        ],
    )
    def test_however_it_is_written_an_address_that_is_not_public_is_refused(
        self, receiver: Receiver, host: str
    ) -> None:
        [outcome] = sent(f"http://{host}:{receiver.port}/hook", private=False, timeout=5)
        assert outcome.error is not None
        assert receiver.received == []

    def test_the_refusal_says_what_to_do(self, receiver: Receiver) -> None:
        [outcome] = sent(receiver.url, private=False)
        assert outcome.error is not None
        assert "127.0.0.1 is not an address of the public internet" in outcome.error
        assert "METERHOUSE_WEBHOOK_ADDRESSES" in outcome.error

    def test_answers_of_dns_that_change_are_judged_each_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """127.0.0.1 stands for a public address, and 127.0.0.2 for one that is not; the receiver has both."""
        monkeypatch.setattr(sender, "is_public", _only_the_first)
        with receiving(host="0.0.0.0") as everywhere:
            url = f"http://rebinding.example:{everywhere.port}/hook"
            good, bad = sent(url, url, private=False, resolver=_Resolver(["127.0.0.1"], ["127.0.0.2"]))
            assert (good.succeeded, bad.status) == (True, None)
            assert bad.error is not None
            assert "127.0.0.2 is not an address" in bad.error
            assert len(everywhere.received) == 1

    def test_of_several_answers_only_the_public_ones_are_connected_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sender, "is_public", _only_the_first)
        peers: list[str] = []

        def noting(handler: BaseHTTPRequestHandler, received: Received) -> None:
            peers.append(handler.connection.getsockname()[0])
            answering(200)(handler, received)

        with receiving(noting, host="0.0.0.0") as everywhere:
            url = f"http://both.example:{everywhere.port}/hook"
            answers = ["127.0.0.2", "127.0.0.1", "127.0.0.3"]
            assert all(each.succeeded for each in sent(url, url, private=False, resolver=_Resolver(answers, answers)))
        assert peers == ["127.0.0.1"] * 2

    def test_a_redirect_into_a_private_network_leads_nowhere(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sender, "is_public", _only_the_first)
        with receiving(host="0.0.0.0") as inside:
            receiver.answer = answering(307, location=f"http://127.0.0.2:{inside.port}/hook")
            assert not sent(receiver.url, private=False)[0].succeeded
            assert (len(receiver.received), inside.received) == (1, [])

    def test_a_proxy_of_the_environment_is_not_asked(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
        with receiving() as proxy:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            assert sent(receiver.url)[0].succeeded
            assert proxy.received == []


def _only_the_first(address: IPv4Address | IPv6Address) -> bool:
    return str(address) == "127.0.0.1"


class _Resolver(AbstractResolver):
    """Gives one list of addresses after the other."""

    def __init__(self, *answers: list[str]):
        self._answers = [*answers]

    async def resolve(self, host: str, port: int = 0, **_: Any) -> list[ResolveResult]:
        found: list[Any] = [
            {"hostname": host, "host": each, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}
            for each in self._answers.pop(0)
        ]
        return found

    async def close(self) -> None:
        pass
