"""What becomes of a long answer when its client hangs up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator

from meterhouse.http.streams import stream_response


def test_a_client_that_hangs_up_while_the_next_chunk_is_made_ends_the_work() -> None:
    working, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def chunks() -> Generator[bytes]:
        try:
            yield b"first"
            working.set()
            go_on.wait(10)
            yield b"second"
        finally:
            ended.set()

    made = chunks()

    async def send() -> None:
        stream = await stream_response(made, "text/plain")
        while await asyncio.to_thread(next, stream.iterator, b""):  # as the framework does
            pass

    async def hang_up() -> None:
        sending = asyncio.create_task(send())
        assert await asyncio.to_thread(working.wait, 10)
        sending.cancel()
        await asyncio.wait([sending])
        await asyncio.sleep(0.1)  # the thread that waits for a chunk goes on, whatever is asked of it
        go_on.set()
        assert await asyncio.to_thread(ended.wait, 10)

    asyncio.run(hang_up())
