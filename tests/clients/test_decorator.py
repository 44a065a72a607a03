"""The decorator: what is called is an event, and the caller notices nothing of it."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import pytest

from meterhouse_client import BufferFull
from meterhouse_client.decorator import Call, metered
from support.recorded import Recorded


@pytest.fixture
def meter() -> Recorded:
    return Recorded()


def test_a_call_is_an_event_of_what_it_was_given_and_what_it_gave(meter: Recorded) -> None:
    @metered(
        meter,
        "page.read",
        organization=lambda call: call.arguments["who"],
        data=lambda call: {"pages": call.result, "fast": call.duration_ms < 60_000, "scale": call.arguments["scale"]},
    )
    def read(who: str | None, /, pages: int, *, scale: Decimal = Decimal("0.1")) -> int:  # noqa: ARG001 - the decorator's
        """Reads."""
        return pages * 2

    assert read("acme", 3) == 6
    assert read(None, pages=4) == 8
    assert meter.events == [("page.read", "acme", {"pages": 6, "fast": True, "scale": Decimal("0.1")})]
    assert (read.__name__, read.__doc__, [*inspect.signature(read).parameters]) == (
        "read",
        "Reads.",
        ["who", "pages", "scale"],
    )
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'pages'"):
        read("acme")  # type: ignore[call-arg]
    assert len(meter.events) == 1


def test_methods_and_what_is_given_as_it_is(meter: Recorded) -> None:
    class Reader:
        who = "acme"

        @metered(meter, "read", organization=lambda call: call.arguments["self"].who)
        def read(self) -> str:
            return "text"

        @metered(meter, "write", organization="initech", data={"kind": "fixed"})
        async def write(self) -> str:
            return "written"

    assert Reader().read() == "text"
    assert inspect.iscoroutinefunction(Reader.write)
    assert asyncio.run(Reader().write()) == "written"
    assert meter.events == [("read", "acme", {}), ("write", "initech", {"kind": "fixed"})]


@pytest.mark.parametrize("failures", [False, True])
def test_what_raises_is_counted_where_it_is_asked_for(meter: Recorded, failures: bool) -> None:
    def data(call: Call) -> dict[str, Any]:
        return {"error": type(call.error).__name__, "items": call.items, "result": call.result}

    count = metered(meter, "call", organization="acme", failures=failures, data=data)

    @count
    def waits() -> None:
        raise KeyError("waits")

    @count
    async def awaits() -> None:
        await asyncio.sleep(60)

    @count
    def gives() -> Iterator[int]:
        yield 1
        raise ValueError("gives")

    @count
    async def gives_awaited() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise ValueError("gives awaited")

    async def read() -> None:
        async for _ in gives_awaited():
            pass

    with pytest.raises(KeyError):
        waits()
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(awaits(), 0.01))
    with pytest.raises(ValueError, match="gives"):
        [*gives()]
    with pytest.raises(ValueError, match="gives awaited"):
        asyncio.run(read())
    told = [(each["error"], each["items"]) for _, _, each in meter.events]
    assert told == ([("KeyError", 0), ("CancelledError", 0), ("ValueError", 1), ("ValueError", 2)] if failures else [])


def test_a_generator_is_counted_once_when_it_ends_or_is_left(meter: Recorded) -> None:
    ended: list[str] = []

    @metered(meter, "stream", organization="acme", data=lambda call: {"items": call.items})
    def gives(most: int) -> Iterator[int]:
        try:
            yield from range(most)
        finally:
            ended.append("gives")

    @metered(meter, "stream", organization="acme", data=lambda call: {"items": call.items})
    async def gives_awaited(most: int) -> AsyncIterator[int]:
        try:
            for number in range(most):
                yield number
        finally:
            ended.append("gives awaited")

    async def read(leave_after: int) -> list[int]:
        found = []
        async for each in gives_awaited(4):
            found.append(each)
            if len(found) == leave_after:
                break  # the loop ends early, and closes what was left open
        return found

    assert [*gives(3)] == [0, 1, 2]
    left = gives(5)
    assert (next(left), next(left)) == (0, 1)
    assert len(ended) == 1
    left.close()  # type: ignore[attr-defined]
    assert asyncio.run(read(9)) == [0, 1, 2, 3]
    assert asyncio.run(read(1)) == [0]
    assert [data["items"] for _, _, data in meter.events] == [3, 2, 4, 1]
    assert ended == ["gives", "gives", "gives awaited", "gives awaited"]


def test_what_prevents_an_event_does_not_reach_the_caller(meter: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    told: list[Exception] = []

    def wrong(_: Call) -> dict[str, Any]:
        raise LookupError("no such thing")

    @metered(meter, "call", organization="acme", data=wrong, on_error=told.append)
    def first() -> int:
        return 1

    def fails(_: Exception) -> None:
        raise RuntimeError("told in vain")

    @metered(meter, "call", organization="acme", on_error=fails)
    def second() -> int:
        return 2

    @metered(meter, "call", organization="acme")
    def third() -> int:
        return 3

    assert first() == 1
    assert [str(each) for each in told] == ["no such thing"]
    meter.fails = BufferFull("3 events wait")
    with caplog.at_level(logging.WARNING, "meterhouse_client"):
        assert (second(), third()) == (2, 3)
    assert "on_error failed" in caplog.text
    assert "usage was not recorded: BufferFull: 3 events wait" in caplog.text
