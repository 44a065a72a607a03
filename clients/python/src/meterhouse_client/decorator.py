"""A decorator: each call of a function is an event."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar, cast

from .meter import Meter
from .telling import tell

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Call:
    """A call that has ended."""

    arguments: Mapping[str, Any]
    """By the names of the function's parameters, with what was left to their defaults."""
    duration_ms: float
    result: Any = None
    """What was returned; None of a generator and of a call that raised."""
    items: int = 0
    """How many items a generator has given."""
    error: BaseException | None = None
    """What it raised."""


OrganizationOf = str | Callable[[Call], "str | None"]
DataOf = Mapping[str, Any] | Callable[[Call], "Mapping[str, Any]"]


def metered(
    meter: Meter,
    event_type: str,
    *,
    organization: OrganizationOf,
    data: DataOf | None = None,
    failures: bool = False,
    on_error: Callable[[Exception], None] | None = None,
) -> Callable[[Function], Function]:
    """Records an event for each call of a function, a coroutine function or a generator function of either kind.

    `organization` and `data` are given, or are called with the `Call` when it has ended; None is not counted. A call
    that raises is not counted, unless `failures` says so. A generator is counted once, when it ends or its reader
    leaves it; nothing can be sent into it. The caller gets what the function returns or raises, whatever becomes of the
    event: what prevents it is told to `on_error`, or logged.
    """

    def record(call: Call) -> None:
        if call.error is not None and not failures:
            return
        whose = organization(call) if callable(organization) else organization
        if whose is not None:
            meter.record(event_type, whose, data(call) if callable(data) else data)

    def decorate(function: Function) -> Function:
        kind = next((wrap for is_one, wrap in _KINDS if is_one(function)), _waits)
        signature = inspect.signature(function)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Running:
            return _Running(record, on_error, signature, args, kwargs)

        return cast("Function", functools.wraps(function)(kind(function, begin)))

    return decorate


class _Running:
    """A call that is under way."""

    def __init__(
        self,
        record: Callable[[Call], None],
        on_error: Callable[[Exception], None] | None,
        signature: inspect.Signature,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ):
        self._record = record
        self._on_error = on_error
        self._signature = signature
        self._given = args, kwargs
        self._began = time.perf_counter()
        self.result: Any = None
        self.items = 0
        self.left: tuple[type[BaseException], ...] = (GeneratorExit,)
        """What a generator meets whose reader has left it."""

    def __enter__(self) -> _Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        error = None if isinstance(raised, self.left) else raised
        duration_ms = round((time.perf_counter() - self._began) * 1000, 3)
        try:
            args, kwargs = self._given
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            self._record(Call(bound.arguments, duration_ms, self.result, self.items, error))
        except Exception as failure:  # noqa: BLE001 - the call was done: what is wrong here is not its caller's
            tell(failure, self._on_error)


Begin = Callable[[tuple[Any, ...], dict[str, Any]], _Running]


def _waits(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as running:
            running.result = function(*args, **kwargs)
            return running.result

    return call


def _awaits(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with begin(args, kwargs) as running:
            running.result = await function(*args, **kwargs)
            return running.result

    return call


def _gives(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Iterator[Any]:
        with begin(args, kwargs) as running, contextlib.closing(function(*args, **kwargs)) as given:
            for item in given:
                running.items += 1
                yield item

    return call


def _gives_awaited(function: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        with begin(args, kwargs) as running:
            running.left += (asyncio.CancelledError,)  # a request that was given up, or the end of the event loop
            async with contextlib.aclosing(function(*args, **kwargs)) as given:
                async for item in given:
                    running.items += 1
                    yield item

    return call


_KINDS = (
    (inspect.iscoroutinefunction, _awaits),
    (inspect.isgeneratorfunction, _gives),
    (inspect.isasyncgenfunction, _gives_awaited),
)
