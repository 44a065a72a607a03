"""When deliveries are tried again and given up, and endpoints switched off, on a clock that tests move."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.delivery import (
    FIRST_RETRY,
    GIVEN_UP_AFTER,
    LONGEST_RETRY,
    SWITCHED_OFF_AFTER,
    AttemptOutcome,
    DeliveryStatus,
    WebhookDelivery,
    endpoint_after,
)
from meterhouse.domain.webhook import EventType, SigningSecret, WebhookEndpoint

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
PENDING = WebhookDelivery(1, "msg", "shop", "e", "acme", 0, EventType.TEST, DeliveryStatus.PENDING, 0, NOW, NOW)
ENDPOINT = WebhookEndpoint("e", "shop", "https://example.com", frozenset(), (SigningSecret("s", NOW),), True, NOW)
GOOD = AttemptOutcome(204, None, "", 3)
BAD = AttemptOutcome(500, "answered 500", "", 3)


def tried_to_the_end(random: Random) -> tuple[WebhookDelivery, list[datetime]]:
    """Fails at every attempt, each made the moment it is due; when they were made."""
    delivery, at = PENDING, [NOW]
    while (delivery := delivery.after(BAD, at[-1], random.randrange(1000))).status is DeliveryStatus.PENDING:
        at.append(delivery.next_attempt_at)
    return delivery, at


@pytest.mark.parametrize("seed", range(50))
def test_it_is_tried_for_three_days_with_growing_waits(seed: int) -> None:
    delivery, at = tried_to_the_end(Random(seed))
    assert delivery.status is DeliveryStatus.FAILED
    assert at[-1] - at[0] == GIVEN_UP_AFTER
    assert delivery.attempts == len(at) < 30
    waits = [later - earlier for earlier, later in pairwise(at[:-1])]
    expected = FIRST_RETRY
    for wait in waits:
        assert expected * 4 / 5 <= wait <= expected * 6 / 5
        expected = min(expected * 3, LONGEST_RETRY)


def test_what_has_failed_together_is_not_tried_again_together() -> None:
    assert len({PENDING.after(BAD, NOW, jitter).next_attempt_at for jitter in range(1000)}) == 1000


def test_one_success_settles_it() -> None:
    tried = PENDING.after(BAD, NOW, 0).after(GOOD, NOW + timedelta(seconds=9), 0)
    assert (tried.status, tried.attempts, tried.attempted_at) == (
        DeliveryStatus.DELIVERED,
        2,
        NOW + timedelta(seconds=9),
    )


@given(st.lists(st.timedeltas(timedelta(days=-2), timedelta(days=2)), max_size=60), st.integers(0, 999))
def test_whatever_the_clock_does_it_ends_and_is_never_due_far_ahead(steps: list[timedelta], jitter: int) -> None:
    delivery, now = PENDING, NOW
    for step in steps:
        now += step
        delivery = delivery.after(BAD, now, jitter)
        first = delivery.first_attempt_at
        assert first is not None
        if delivery.status is DeliveryStatus.FAILED:
            assert now - first >= GIVEN_UP_AFTER
            return
        assert delivery.next_attempt_at - now <= LONGEST_RETRY * 6 / 5


class TestEndpoints:
    def test_five_days_of_failures_switch_it_off(self) -> None:
        endpoint, at = ENDPOINT, NOW
        while at - NOW < SWITCHED_OFF_AFTER:
            endpoint = endpoint_after(endpoint, BAD, at)
            assert (endpoint.enabled, endpoint.failing_since) == (True, NOW)
            at += timedelta(hours=7)
        endpoint = endpoint_after(endpoint, BAD, NOW + SWITCHED_OFF_AFTER)
        assert not endpoint.enabled
        assert endpoint.switched_off == "every attempt has failed for five days"

    def test_one_success_begins_the_five_days_anew(self) -> None:
        endpoint = endpoint_after(endpoint_after(ENDPOINT, BAD, NOW), GOOD, NOW + timedelta(days=4))
        assert endpoint == ENDPOINT
        endpoint = endpoint_after(endpoint, BAD, NOW + timedelta(days=6))
        assert (endpoint.enabled, endpoint.failing_since) == (True, NOW + timedelta(days=6))

    def test_410_gone_switches_it_off_at_once(self) -> None:
        gone = endpoint_after(ENDPOINT, replace(BAD, status=410, error="answered 410"), NOW)
        assert (gone.enabled, gone.switched_off) == (False, "it answered 410 Gone")

    def test_a_clock_that_was_set_back_switches_nothing_off(self) -> None:
        endpoint = endpoint_after(ENDPOINT, BAD, NOW)
        endpoint = endpoint_after(endpoint, BAD, NOW - timedelta(days=1))
        assert (endpoint.enabled, endpoint.failing_since) == (True, NOW - timedelta(days=1))
