"""A thread that delivers what is in the outbox.

Each shard's process delivers what is about its own organizations: one process sends what is about an organization, so
that its order is kept, and others take nothing of it. What was not written down as delivered is sent again, under the
same id.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress

import structlog

from ...domain.delivery import AttemptOutcome, DueDelivery
from ...domain.errors import Unavailable
from ...domain.shards import Seat
from ...domain.webhook import WebhookEndpoint, signatures
from ...ports.clock import Clock
from ...ports.ledger import Ledger
from ...ports.webhook_sender import WebhookSender
from ...ports.webhooks import Outbox

_LOOKS_EVERY_S = 1
_AFTER_FAILURE_S = 5
_COUNTS_EVERY_NS = 5_000_000_000
_ENDS_WITHIN_S = 3
"""For attempts that are under way when the server stops."""
_AT_ONCE = 8
"""To one endpoint: one that does not answer keeps nobody else's waiting."""
_MOST = 64

_log = structlog.get_logger(__name__)


class Deliverer:
    """Looks into the outbox when something was told, and once a second."""

    def __init__(
        self,
        ledger: Ledger,
        sender: WebhookSender,
        clock: Clock,
        seat: Seat,
        *,
        changing: Callable[[], AbstractContextManager[None]],
        random_below: Callable[[int], int],
    ):
        """`changing` is held while the ledger is changed; it raises `Unavailable` while nothing may be."""
        self._ledger = ledger
        self._sender = sender
        self._clock = clock
        self._seat = seat
        self._changing = changing
        self._random_below = random_below
        self.on_attempt: Callable[[AttemptOutcome], None] = lambda _: None
        """Is told how each attempt has ended."""
        self.waiting = Outbox(0, None)
        """What waited for this process a few seconds ago."""
        self._counted_ns = 0
        self._under_way: dict[int, tuple[str, str]] = {}
        """By delivery, the namespace and the id of its endpoint."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="meterhouse-webhooks", daemon=True
        )

    def begin(self) -> None:
        """Begins with what is left of the last process."""
        self._thread.start()

    def wake(self) -> None:
        """Something was told. May be called from any thread."""
        if (loop := self._loop) is not None:
            with suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(self._woken.set)

    def close(self) -> None:
        """Ends when the attempts under way have, or soon: they are repeated then."""
        self._ending.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        attempts: set[asyncio.Task[None]] = set()
        await self._sender.open()
        while not self._ending.is_set():
            self._woken.clear()
            rest_s = _LOOKS_EVERY_S
            try:
                for due in await asyncio.to_thread(self._due, dict(self._under_way)):
                    self._under_way[due.delivery.id] = due.delivery.namespace, due.delivery.endpoint
                    attempt = asyncio.create_task(self._attempt(due))
                    attempts.add(attempt)
                    attempt.add_done_callback(attempts.discard)
            except Unavailable as failure:
                _log.info("deliveries wait", reason=str(failure))
                rest_s = _AFTER_FAILURE_S
            except Exception as failure:  # noqa: BLE001 - what waits is in the ledger, and is looked for again
                _log.error("what is to be delivered could not be looked up; trying again", exc_info=failure)
                rest_s = _AFTER_FAILURE_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), rest_s)
        if attempts:
            await asyncio.wait(attempts, timeout=_ENDS_WITHIN_S)
        for attempt in [*attempts]:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        await self._sender.close()

    def _due(self, under_way: Mapping[int, tuple[str, str]]) -> list[DueDelivery]:
        """What to begin with now, with no more at once than may be. `under_way` are the attempts from before the ledger
        is read: one that ends meanwhile still waits in what was read."""
        with self._changing():
            found = self._ledger.due_deliveries(self._clock.now(), self._seat.virtuals, 2 * _AT_ONCE)
        if time.monotonic_ns() - self._counted_ns >= _COUNTS_EVERY_NS:
            self.waiting, self._counted_ns = self._ledger.outbox(self._seat.virtuals), time.monotonic_ns()
        busy, chosen = Counter(under_way.values()), list[DueDelivery]()
        for due in found:
            endpoint = due.delivery.namespace, due.delivery.endpoint
            room = busy[endpoint] < _AT_ONCE and busy.total() < _MOST
            if room and due.delivery.id not in under_way:
                busy[endpoint] += 1
                chosen.append(due)
        return chosen

    async def _attempt(self, due: DueDelivery) -> None:
        delivery, endpoint, body = due.delivery, due.endpoint, due.payload.encode()
        try:
            headers = signatures(endpoint.secrets, delivery.message, self._clock.now(), body)
            outcome = await self._sender.send(endpoint.url, {"content-type": "application/json", **headers}, body)
            self.on_attempt(outcome)
            after = await asyncio.to_thread(self._record, due, outcome)
            self._woken.set()
            if after is not None and endpoint.enabled and not after.enabled:
                _log.warning(
                    "a webhook endpoint is switched off",
                    namespace=endpoint.namespace,
                    endpoint=endpoint.id,
                    reason=after.switched_off,
                )
        except Exception as failure:  # noqa: BLE001 - it is made again, under the same id
            _log.error("how a delivery has ended could not be written down; it is repeated", exc_info=failure)
            await asyncio.sleep(_AFTER_FAILURE_S)
        finally:
            del self._under_way[delivery.id]

    def _record(self, due: DueDelivery, outcome: AttemptOutcome) -> WebhookEndpoint | None:
        with self._changing():
            return self._ledger.record_attempt(due.delivery, outcome, self._clock.now(), self._random_below(1000))
