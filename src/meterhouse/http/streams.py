"""Answers that are larger than memory."""

from __future__ import annotations

import asyncio
from itertools import chain

from litestar.response import Stream

from ..ports import Chunks


async def stream_response(chunks: Chunks, media_type: str) -> Stream:
    """Sends what a generator gives.

    What it raises before its first chunk is answered like any other error. After it the answer breaks off, which no
    client takes for its end.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    # A client that hangs up stops the request, and nothing else would tell the generator.
    task.add_done_callback(lambda _: loop.run_in_executor(None, chunks.close))
    first = await asyncio.to_thread(next, chunks, b"")
    return Stream(chain([first], chunks), media_type=media_type)
