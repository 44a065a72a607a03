"""Answers that are larger than memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from itertools import chain

from litestar.response import Stream

from ..ports.chunks import Chunks


async def stream_response(chunks: Chunks, media_type: str) -> Stream:
    """Sends what a generator gives.

    What it raises before its first chunk is answered like any other error. After it the answer breaks off, which no
    client takes for its end.
    """
    closable = closed_with_request(chunks)
    first = await asyncio.to_thread(next, closable, b"")
    return Stream(chain([first], closable), media_type=media_type)


def closed_with_request(chunks: Chunks) -> Iterator[bytes]:
    """The same, closed when the request ends: a client that hangs up stops it, and nothing else would tell the
    generator."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    closable = _Closable(chunks)
    task.add_done_callback(lambda _: loop.run_in_executor(None, closable.close))
    return closable


class _Closable:
    """A generator that may be closed while another thread waits for what it gives next: closed after that, where the
    generator itself would only refuse."""

    def __init__(self, chunks: Chunks):
        self._chunks = chunks
        self._turn = threading.Lock()

    def __iter__(self) -> _Closable:
        return self

    def __next__(self) -> bytes:
        with self._turn:
            return next(self._chunks)

    def close(self) -> None:
        with self._turn:
            self._chunks.close()
