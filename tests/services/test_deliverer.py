"""The deliverer with a sender that tests hold up: nothing is sent twice, and nobody waits for somebody else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meterhouse.domain.delivery import AttemptOutcome, DueDelivery, Message
from meterhouse.domain.errors import Unavailable
from meterhouse.domain.shards import Seat
from meterhouse.domain.webhook import EventType, SigningSecret, WebhookEndpoint, new_secret
from meterhouse.ports.alerts import Raising
from meterhouse.ports.webhooks import DeliverySearch
from meterhouse.services.webhooks import Deliverer
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from support.receivers import eventually

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SECRETS = (SigningSecret(new_secret(bytes(32)), NOW),)
ENDPOINT = WebhookEndpoint("e", "shop", "https://e.example", frozenset(), SECRETS, True, NOW)


class Clock:
    def now(self) -> datetime:
        return NOW


class Sender:
    """Answers when it may."""

    def __init__(self, held: Collection[str] = ()) -> None:
        self.held = {*held}
        """URLs that are not answered."""
        self.sent: list[tuple[str, str]] = []
        self.at_once: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptOutcome:
        assert body == b"{}"
        self.sent.append((url, headers["webhook-id"]))
        self.at_once[url] += 1
        self.most[url] = max(self.most[url], self.at_once[url])
        while url in self.held:
            await asyncio.sleep(0.01)
        self.at_once[url] -= 1
        return AttemptOutcome(204, None, "", 1)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with closing(SqlLedger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}")) as opened:
        opened.change_endpoint("shop", lambda _: ENDPOINT)
        yield opened


def tell(ledger: SqlLedger, *organizations: str) -> None:
    known = len(ledger.deliveries(DeliverySearch("shop", "e", limit=1000)))
    messages = [
        Message(f"m-{number}", "shop", name, EventType.PERIOD_CLOSED, NOW, "{}")
        for number, name in enumerate(organizations, known)
    ]
    ledger.raise_alerts(Raising(messages=messages))


@contextmanager
def delivering(ledger: Any, sender: Sender, changing: Any = nullcontext) -> Iterator[Deliverer]:
    deliverer = Deliverer(ledger, sender, Clock(), Seat(), changing=changing, random_below=lambda _: 0)
    deliverer.begin()
    try:
        yield deliverer
    finally:
        sender.held.clear()
        deliverer.close()


def test_an_attempt_that_ends_while_the_outbox_is_read_is_not_made_again(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, reads = Sender([ENDPOINT.url]), list[int]()
    whole = ledger.due_deliveries

    def slow(now: datetime, virtuals: Collection[int] | None, each: int) -> list[DueDelivery]:
        found = whole(now, virtuals, each)
        reads.append(len(found))
        if found and len(reads) > 1 and sender.held:
            sender.held.clear()  # the attempt ends, and is written down, after this was read
            eventually(lambda: not ledger.outbox(None).pending)
        return found

    monkeypatch.setattr(ledger, "due_deliveries", slow)
    tell(ledger, "acme")
    with delivering(ledger, sender) as deliverer:
        eventually(lambda: sender.sent)
        deliverer.wake()
        eventually(lambda: not ledger.outbox(None).pending)
        before = len(reads)
        deliverer.wake()
        eventually(lambda: len(reads) > before + 1)
    assert sender.sent == [(ENDPOINT.url, "m-0")]


def test_an_endpoint_that_does_not_answer_keeps_no_other_waiting(ledger: SqlLedger) -> None:
    other = replace(ENDPOINT, id="f", url="https://f.example")
    ledger.change_endpoint("shop", lambda _: other)
    tell(ledger, *(f"o-{number}" for number in range(40)))
    sender = Sender([ENDPOINT.url])
    with delivering(ledger, sender):
        eventually(lambda: sum(url == other.url for url, _ in sender.sent) == 40)
        assert sum(url == ENDPOINT.url for url, _ in sender.sent) == sender.most[ENDPOINT.url] == 8
        sender.held.clear()
        eventually(lambda: not ledger.outbox(None).pending)
    assert Counter(sender.sent) == Counter({*sender.sent})
    assert len(sender.sent) == 80


def test_of_one_organization_one_message_is_under_way_at_a_time_in_their_order(ledger: SqlLedger) -> None:
    tell(ledger, *["acme"] * 30)
    sender = Sender()
    with delivering(ledger, sender):
        eventually(lambda: not ledger.outbox(None).pending)
    assert [name for _, name in sender.sent] == [f"m-{number}" for number in range(30)]
    assert sender.most[ENDPOINT.url] == 1


def test_while_nothing_may_be_changed_nothing_is_sent(ledger: SqlLedger) -> None:
    resting, asked = [True], list[bool]()

    @contextmanager
    def changing() -> Iterator[None]:
        asked.append(resting[0])
        if resting[0]:
            raise Unavailable("the server is moved")
        yield

    tell(ledger, "acme")
    sender = Sender()
    with delivering(ledger, sender, changing) as deliverer:
        for _ in range(3):
            count = len(asked)
            deliverer.wake()
            eventually(lambda count=count: len(asked) > count)
        assert sender.sent == []
        resting[0] = False
        deliverer.wake()
        eventually(lambda: not ledger.outbox(None).pending)
    assert len(sender.sent) == 1


def test_what_was_not_written_down_is_sent_again_under_the_same_id(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = ledger.record_attempt, [True]

    def record(*arguments: Any) -> Any:
        if broken.pop():
            broken.append(False)
            raise RuntimeError("told to fail")
        broken.append(False)
        return whole(*arguments)

    monkeypatch.setattr(ledger, "record_attempt", record)
    tell(ledger, "acme")
    sender = Sender()
    with delivering(ledger, sender):
        eventually(lambda: not ledger.outbox(None).pending)
    assert sender.sent == [(ENDPOINT.url, "m-0")] * 2
