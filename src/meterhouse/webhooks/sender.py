"""Sends messages to webhook endpoints, to addresses of the public internet alone.

The address is judged when the socket for it is made, right before it connects: whatever a name was resolved to before,
and however an address is written, no connection is made to one that is refused. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver

from ..domain.delivery import AttemptOutcome
from ..domain.public_address import is_public

_CONNECTS_WITHIN_S = 5
_MOST_READ = 65_536
"""Bytes of an answer; what comes after them is not read."""
_SHOWN_CHARACTERS = 500
_NS_PER_MS = 1_000_000


class AddressRefused(OSError):
    """An address that nothing is sent to."""


@dataclass(frozen=True, slots=True)
class SenderOptions:
    """What an operator decides."""

    timeout_seconds: int
    """For an attempt, from connecting until the answer's headers and what is read of its body are there."""
    private_addresses: bool
    """Whether any address may be connected to."""
    user_agent: str


class AiohttpSender:
    """See `ports.WebhookSender`."""

    def __init__(self, options: SenderOptions, resolver: AbstractResolver | None = None):
        """Names are looked up by `resolver`; as the system does it when there is none."""
        self._options = options
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """See `WebhookSender.open`."""
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            socket_factory=self._socket,
            use_dns_cache=False,
            force_close=True,  # an address is judged on every attempt
            limit=0,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"user-agent": self._options.user_agent},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECTS_WITHIN_S),
        )

    async def close(self) -> None:
        """See `WebhookSender.close`."""
        assert self._session is not None  # it was opened
        await self._session.close()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptOutcome:
        """See `WebhookSender.send`."""
        began_ns = time.monotonic_ns()
        status, answer = None, bytearray()
        try:
            async with asyncio.timeout(self._options.timeout_seconds):
                assert self._session is not None  # it was opened
                async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                    status = response.status
                    await _read(response, answer)
                    response.close()  # what is left of it is not read
            error = _refusal(status)
        except TimeoutError:
            # Who has answered 2xx in time has the message, whatever becomes of the rest of the answer.
            error = _refusal(status) if status is not None else f"no answer within {self._options.timeout_seconds} s"
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            error = _refusal(status) if status is not None else _reason(failure)
        milliseconds = (time.monotonic_ns() - began_ns) // _NS_PER_MS
        shown = answer.decode("utf-8", "replace").replace("\0", "\ufffd")[:_SHOWN_CHARACTERS]
        return AttemptOutcome(status, error, shown, milliseconds)

    def _socket(self, addressed: tuple[Any, ...]) -> socket.socket:
        """The socket that connects to an address. Raises `AddressRefused`."""
        family, kind, protocol, _, target = addressed
        if not self._options.private_addresses and not is_public(ip_address(target[0])):
            raise AddressRefused(
                f"{target[0]} is not an address of the public internet, and nothing is sent there "
                "(METERHOUSE_WEBHOOK_ADDRESSES)"
            )
        return socket.socket(family=family, type=kind, proto=protocol)


async def _read(response: aiohttp.ClientResponse, answer: bytearray) -> None:
    while len(answer) < _MOST_READ and (piece := await response.content.read(_MOST_READ - len(answer))):
        answer += piece


def _refusal(status: int) -> str | None:
    """Why an answer counts as failed; None for 2xx."""
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"answered {status}: redirects are not followed, name the URL that it leads to"
    return f"answered {status}"


def _reason(failure: Exception) -> str:
    """Why nothing was answered, without what only a programmer could read."""
    inner = failure.os_error if isinstance(failure, aiohttp.ClientConnectorError) else failure
    if isinstance(failure, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    text = " ".join(str(inner).split()) or type(inner).__name__
    return f"cannot be sent: {text}"[:_SHOWN_CHARACTERS]
