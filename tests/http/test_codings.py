"""Bodies in every coding, whole or cut short, and what all of them together may take."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import zstandard
from litestar.exceptions import ClientException

from meterhouse.domain.errors import Overloaded
from meterhouse.http.bodies import SMALL_BODY_BYTES, Bodies
from meterhouse.http.decompression import decompressed
from meterhouse.http.problems import TooLarge, UnsupportedEncoding
from support.server import Server, event

CONTENT = b"some text, " * 50_000


def deflated(content: bytes, wbits: int) -> bytes:
    stream = zlib.compressobj(wbits=wbits)
    return stream.compress(content) + stream.flush()


def in_members(content: bytes, compress: Callable[[bytes], bytes]) -> bytes:
    return b"".join(map(compress, (content[:7], b"", content[7:])))


CODINGS: list[tuple[str, bytes]] = [
    ("gzip", gzip.compress(CONTENT)),
    ("gzip", in_members(CONTENT, gzip.compress)),
    ("gzip", gzip.compress(CONTENT) + b"\0" * 700),
    ("x-gzip", gzip.compress(CONTENT)),
    ("deflate", zlib.compress(CONTENT)),
    ("deflate", deflated(CONTENT, -zlib.MAX_WBITS)),
    ("zstd", zstandard.compress(CONTENT)),
    ("zstd", in_members(CONTENT, zstandard.compress)),
]


@pytest.mark.parametrize(("coding", "body"), CODINGS)
def test_what_was_compressed_comes_out(coding: str, body: bytes) -> None:
    assert b"".join(decompressed(body, coding)) == CONTENT


@pytest.mark.parametrize(("coding", "body"), [each for each in CODINGS if not each[1].endswith(b"\0")])
def test_what_is_cut_short_or_followed_by_something_is_refused(coding: str, body: bytes) -> None:
    for wrong in (body[:-1], body[:-9], body[:1], body + b"x", b"not compressed"):
        with pytest.raises(ClientException):
            list(decompressed(wrong, coding))


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_parts_without_end_are_stopped_early(coding: str, compress: Callable[[bytes], bytes]) -> None:
    parts = compress(b"") * 1_000_000
    began = time.perf_counter()
    with pytest.raises(ClientException, match="parts"):
        list(decompressed(parts, coding))
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "", "zlib"])
def test_another_coding_is_refused(coding: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        list(decompressed(b"", coding))


def bomb(coding: str) -> bytes:
    return {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress}[coding](b"\0" * (64 << 20))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_bomb_is_stopped_while_it_unfolds(coding: str) -> None:
    pieces = decompressed(bomb(coding), coding)
    assert max(len(next(pieces)) for _ in range(4)) <= 8 << 20


class Request:
    """As much of a request as `Bodies` looks at. It waits in the middle until it may go on."""

    def __init__(self, body: bytes, coding: str = "identity") -> None:
        self.headers = {"content-encoding": coding}
        self.may_end = asyncio.Event()
        self._body = body

    async def stream(self) -> AsyncIterator[bytes]:
        yield self._body[: len(self._body) // 2]
        await self.may_end.wait()
        yield self._body[len(self._body) // 2 :]


def test_bodies_that_are_read_together_have_a_bound() -> None:
    async def read(bodies: Bodies, request: Request, hold: asyncio.Event) -> int:
        async with bodies.reading(cast("Any", request)) as body:
            await hold.wait()
            return len(body)

    async def run() -> None:
        bodies, hold = Bodies(10_000_000, 1_000_000), asyncio.Event()
        large = Request(b"x" * 3_000_000)
        alone = asyncio.create_task(read(bodies, large, hold))
        await asyncio.sleep(0)
        large.may_end.set()
        await asyncio.sleep(0)
        small = Request(b"yy")
        small.may_end.set()
        refused = Request(b"yy" * SMALL_BODY_BYTES)
        waiting = asyncio.create_task(read(bodies, refused, hold))
        await asyncio.sleep(0)
        assert not waiting.done(), "it is answered when the client has sent all of it"
        refused.may_end.set()
        with pytest.raises(Overloaded, match="being read"):
            await waiting
        hold.set()
        assert await read(bodies, small, hold) == 2, "small ones come through"
        assert await alone == 3_000_000, "one that finds no other is taken"
        two = [Request(b"x" * 400_000), Request(gzip.compress(b"x" * 700_000), "gzip")]
        for each in two:
            each.may_end.set()
        held = asyncio.Event()
        first = asyncio.create_task(read(bodies, two[0], held))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):  # what it is decompressed to counts
            await read(bodies, two[1], hold)
        held.set()
        assert await first == 400_000
        assert await read(bodies, two[1], hold) == 700_000, "what was taken is given back"
        assert bodies._held == 0
        with pytest.raises(TooLarge):
            await read(Bodies(10_000, 1_000_000), two[1], hold)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", lambda text: in_members(text, gzip.compress)), ("zstd", zstandard.compress), ("deflate", zlib.compress)],
)
def test_events_come_in_compressed(server: Server, coding: str, compress: Callable[[bytes], bytes]) -> None:
    org = server.organization("unsiloed")
    body = json.dumps([event("credit.used", org, {"amount": 1}) for _ in range(3)]).encode()
    headers = {"content-type": "application/json", "content-encoding": coding}

    def post(content: bytes) -> httpx.Response:
        return server.admin("POST", "/v1/events?namespace=unsiloed", content=content, headers=headers)

    assert post(compress(body)).json()["ingested"] == 3
    assert post(compress(body)[:-3]).status_code == 400
    assert post(bomb(coding)).status_code == 413


def test_small_bodies_of_many_elements_are_refused_at_once(server: Server) -> None:
    body = gzip.compress(b"[" + b"0," * 16_000_000 + b"0]")
    assert len(body) < 40_000
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = server.admin("POST", "/v1/events?namespace=unsiloed", content=body, headers=headers)
    assert answer.status_code == 400
    assert "50000 at a time" in answer.json()["detail"]
    status = Path(f"/proc/{server.process.pid}/status").read_text("ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 1_200_000, peak
