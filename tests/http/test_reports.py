"""What is committed together is answered together: one wake-up of the event loop, each report to its own request."""

from __future__ import annotations

import asyncio
import threading

import pytest

from meterhouse.http.events import CompletionBridge
from meterhouse.services.ingest import Report


def test_reports_that_are_there_together_take_one_wake_up() -> None:
    async def scenario() -> None:
        loop, bridge = asyncio.get_running_loop(), CompletionBridge()
        woken: list[object] = []
        wake = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *call: (woken.append(call), wake(*call))[1]  # type: ignore
        pending = [bridge.expect() for _ in range(50)]
        answers = [answer for answer, _ in pending]
        answers[7].cancel()  # this client hangs up

        def finish() -> None:
            for number, (_, done) in enumerate(pending):
                done(OSError("disk full") if number == 3 else Report(ingested=number))

        thread = threading.Thread(target=finish)
        thread.start()
        thread.join()  # the loop stands still meanwhile
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert len(woken) == 1
        with pytest.raises(OSError, match="disk full"):
            answers[3].result()
        assert answers[7].cancelled()
        told = [each.ingested for each in results if isinstance(each, Report)]
        assert told == [number for number in range(50) if number not in (3, 7)]
        again, done = bridge.expect()
        done(Report(ingested=1))
        assert (await again).ingested == 1

    asyncio.run(scenario())
