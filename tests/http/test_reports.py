"""What is committed together is answered together: one wake-up of the event loop, each report to its own request."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future

import pytest

from meterhouse.http.events import _Reports
from meterhouse.services.ingest import Report


def test_reports_that_are_there_together_take_one_wake_up() -> None:
    async def scenario() -> None:
        loop, reports = asyncio.get_running_loop(), _Reports()
        woken: list[object] = []
        wake = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *call: (woken.append(call), wake(*call))[1]  # type: ignore
        pending: list[Future[Report]] = [Future() for _ in range(50)]
        answers = [asyncio.ensure_future(reports.of(each)) for each in pending]
        await asyncio.sleep(0)
        answers[7].cancel()  # this client hangs up

        def finish() -> None:
            for number, each in enumerate(pending):
                if number == 3:
                    each.set_exception(OSError("disk full"))
                else:
                    each.set_result(Report(ingested=number))

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
        again: Future[Report] = Future()
        again.set_result(Report(ingested=1))
        assert (await reports.of(again)).ingested == 1

    asyncio.run(scenario())
