"""What the client sends when a server answers this or that: the same events until they are taken, in their order."""

from __future__ import annotations

from typing import Any

import pytest

from meterhouse_client import BufferFull, Meter, MeterhouseClientError, Problem, Refused
from support.scripted_server import Answer, scripted

NOBODY = "http://127.0.0.1:9"


def meter(url: str, **options: Any) -> Meter:
    return Meter(url, "key", **{"linger_s": 5, "on_error": lambda _: None, **options})


@pytest.mark.parametrize("status", [401, 403, 404, 408, 425, 429, 500, 502, 507])
def test_what_time_or_the_operator_may_mend_is_sent_again(status: int) -> None:
    errors: list[MeterhouseClientError] = []
    with scripted(Answer(status)) as server, meter(server.url, on_error=errors.append) as recording:
        for number in range(3):
            recording.record("credit.used", "acme", {"amount": number})
        assert recording.flush(10)
    first, again = server.asked
    assert first.events == again.events
    assert (recording.counts.ingested, recording.counts.rejected, recording.counts.retries) == (3, 0, 1)
    [told] = errors
    assert isinstance(told, Refused)
    assert (told.status, told.code, told.detail) == (status, "told", "as the test says")


@pytest.mark.parametrize("text", ["<html>sign in, please</html>", "", '{"ingested":1}', "[]"])
def test_what_is_no_report_says_nothing_of_an_event(text: str) -> None:
    with scripted(Answer(text=text)) as server, meter(server.url) as recording:
        recording.record("credit.used", "acme", {"amount": 1})
        assert recording.flush(10)
    assert server.asked[0].events == server.asked[1].events
    assert (recording.counts.ingested, recording.counts.rejected) == (1, 0)


def test_a_server_is_left_alone_for_as_long_as_it_says() -> None:
    with (
        scripted(Answer(429, {"retry-after": "1"}), Answer(503, {"retry-after": "soon"})) as server,
        meter(server.url) as recording,
    ):
        recording.record("credit.used", "acme", {"amount": 1})
        assert recording.flush(10)
    first, second, third = (each.at_s for each in server.asked)
    assert second - first >= 1
    assert third - second < 1  # which is no time


def test_a_batch_that_is_divided_keeps_its_order_and_finds_the_one_that_spoils_it() -> None:
    problems: list[Problem] = []
    # Of six events: all, the first three, the first of them, the second and third, … until each is alone.
    with (
        scripted(Answer(413), Answer(413), Answer(400)) as server,
        meter(f"{server.url}/", namespace="a b", on_problem=problems.append) as recording,
    ):
        ids = [recording.record("credit.used", f"org-{number}", {"amount": number}) for number in range(6)]
        assert recording.flush(10)
    assert {each.path for each in server.asked} == {"/v1/events?namespace=a+b"}
    sent = [[event["id"] for event in each.events] for each in server.asked]
    assert sent == [ids, ids[:3], ids[:1], ids[1:3], ids[3:]]
    assert [(each.event_id, each.organization, each.code) for each in problems] == [(ids[0], "org-0", "told")]
    assert (recording.counts.ingested, recording.counts.rejected) == (5, 1)


def test_what_was_settled_makes_room_and_a_problem_names_its_event() -> None:
    problems: list[Problem] = []
    failure = {"index": 2, "id": "third", "code": "rejected", "message": "no number"}
    report = {"ingested": 2, "duplicates": 0, "conflicts": 0, "rejected": 1, "errors": [failure]}
    with (
        scripted(Answer(report=report)) as server,
        meter(server.url, max_bytes=3_000, on_problem=problems.append) as recording,
    ):
        for name in ("first", "second", "third"):
            recording.record("credit.used", f"of {name}", {"amount": 1}, id=name)
        assert recording.flush(10)
        for _ in range(20):  # each finds the room that those before it had
            recording.record("credit.used", "acme", {"text": "x" * 1_000})
            assert recording.flush(10)
    assert [(each.event_id, each.organization) for each in problems] == [("third", "of third")]


def test_what_was_not_taken_is_not_in_the_spool_and_what_was_left_is_whatever_its_size(tmp_path: Any) -> None:
    for when_full, left in (("drop", 2), ("raise", 2)):
        spool = tmp_path / when_full
        full = meter(NOBODY, spool=spool, max_events=2, when_full=when_full)
        for _ in range(5):
            try:
                full.record("credit.used", "acme", {"amount": 1})
            except BufferFull:
                assert when_full == "raise"
        assert not full.close(0)
        assert full.counts.dropped == (3 if when_full == "drop" else 0)
        again = meter(NOBODY, spool=spool, max_events=1)
        assert again.waiting == left
        again.close(0)


def test_what_is_left_in_a_spool_is_sent_first_and_in_its_order(tmp_path: Any) -> None:
    before = meter(NOBODY, spool=tmp_path / "spool")
    ids = [before.record("credit.used", "acme", {"amount": number}) for number in range(5)]
    before.close(0)
    with scripted() as server, meter(server.url, spool=tmp_path / "spool") as recording:
        ids.append(recording.record("credit.used", "acme", {"amount": 5}))
        assert recording.flush(10)
    assert [event["id"] for each in server.asked for event in each.events] == ids
