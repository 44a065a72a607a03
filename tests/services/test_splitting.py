"""Bodies taken apart: a bad event never takes its neighbours with it, and bounds are looked at before the work."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from meterhouse.domain.errors import Invalid
from meterhouse.services.ingest.splitting import MAX_EVENTS_PER_REQUEST, split_events

MARK = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    "bad",
    [
        b'{"a": "hi \\ud83d"}',  # half an emoji, as JavaScript cuts it
        b'{"a": NaN}',
        b"-Infinity",
        b'{"a": "\xff"}',
        b'{"a": "line\nbreak"}',
        b'{"a": 01}',
        b"{'a': 1}",
        b"nonsense",
        b'{"a": ' + b"[" * 2_000 + b"]" * 2_000 + b"}",
    ],
)
def test_a_bad_event_is_taken_out_alone(bad: bytes) -> None:
    good = b'{"a": "x,]\\"}", "b": [1, {"c": 2}]}'
    assert split_events(b" [" + good + b" , " + bad + b"," + good + b"]\n", lines=False) == [good, bad, good]


@pytest.mark.parametrize(
    "body", [b"[1,]", b"[,1]", b"[1,,2]", b"[1", b'[{"a": 1}', b"[1] 2", b"[NaN] 2", b"", b"{", b"x"]
)
def test_what_is_no_array_is_refused_whole(body: bytes) -> None:
    with pytest.raises(Invalid, match="not JSON"):
        split_events(body, lines=False)


def test_an_empty_array_has_no_events() -> None:
    assert split_events(b" [ ] ", lines=False) == []


@pytest.mark.parametrize("body", [b'{"a":1}', b'[{"a":1}]', b'{"a":1}\n'])
@pytest.mark.parametrize("marks", [1, 2])
def test_byte_order_marks_are_skipped(body: bytes, marks: int) -> None:
    for lines in (False, True) if body[:1] == b"{" else (False,):
        assert split_events(MARK * marks + body, lines=lines) == [b'{"a":1}']
    assert split_events(MARK + b'{"a":1}\r\n\r\n' + MARK + b'{"a":2}\r\n', lines=True) == [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"[" + b"0," * 8_000_000 + b"0]", False),
        (b"[" + b'"",' * 4_000_000 + b"0]", False),
        (b"0\n" * 8_000_000, True),
        (b"\n" * 16_000_000 + b"0\n" * (MAX_EVENTS_PER_REQUEST + 1), True),
    ],
)
def test_too_many_events_are_refused_before_they_take_memory(body: bytes, lines: bool) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Invalid, match="too many events"):
            split_events(body, lines=lines)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_as_many_events_as_a_request_may_have_are_taken_however_many_members_they_have() -> None:
    event = json.dumps({f"m{n}": [n, n] for n in range(12)}).encode()
    body = b"[" + b",".join([event] * MAX_EVENTS_PER_REQUEST) + b"]"
    assert split_events(body, lines=False) == [event] * MAX_EVENTS_PER_REQUEST
