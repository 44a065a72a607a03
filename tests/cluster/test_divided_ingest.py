"""A request over several shards: what becomes of each event is told, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest

from meterhouse.catalog_files import load_catalogs
from meterhouse.cluster.divided_ingest import DividedIngest
from meterhouse.cluster.outbox import Outbox, Taken, encode_taken
from meterhouse.domain.errors import InsufficientStorage, Invalid, Overloaded, Unavailable
from meterhouse.domain.shards import Seat, ShardMap
from meterhouse.http.events import status_of
from meterhouse.services.ingest import Body, Done, Failure, Ingest, Report

SHARDS = ShardMap.even(3)
OF_SHARD = [next(f"o{n}" for n in range(99) if SHARDS.shard_of("unsiloed", f"o{n}") == shard) for shard in range(3)]


class Shards:
    """Three shards that refuse events whose id begins with "bad"; some of them take nothing."""

    def __init__(self) -> None:
        self.failing: dict[int, Exception] = {}
        self.taken: dict[int, list[str]] = {}

    def report(self, shard: int, body: Body) -> Report:
        if shard in self.failing:
            raise self.failing[shard]
        raws = body.content.splitlines() if body.lines else msgspec.json.decode(body.content, type=list[msgspec.Raw])
        ids = [msgspec.json.decode(raw).get("id") for raw in raws]
        bad = [(index, each) for index, each in enumerate(ids) if each is None or each.startswith("bad")]
        self.taken[shard] = [each for each in ids if each is not None and not each.startswith("bad")]
        errors = [Failure(index, each, "invalid_event", "bad") for index, each in bad][:100]
        omitted = len(bad) - len(errors)
        return Report(len(ids) - len(bad), 0, 0, len(bad), 0, errors, omitted, f"{shard}-{shard + 7}")

    def submit_body(self, body: Body, done: Done) -> None:
        """As `Ingest` does, of shard 1."""
        done(self.report(1, body))


class Way:
    """As an `Outbox` does, to one of them."""

    def __init__(self, shards: Shards, shard: int):
        self._shards = shards
        self._shard = shard

    def put(self, body: Body, done: Done) -> None:
        try:
            result: Report | BaseException = self._shards.report(self._shard, body)
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is told
            result = failure
        [taken] = msgspec.msgpack.decode(encode_taken([result]), type=list[Taken])
        done(taken.result())


def ways(shards: Shards) -> Mapping[int, Outbox]:
    return cast("Mapping[int, Outbox]", {shard: Way(shards, shard) for shard in (0, 2)})


def submitted(shards: Shards, events: list[dict[str, Any]], *, lines: bool = False) -> Report | BaseException:
    seat = Seat(1, SHARDS)
    divided = DividedIngest(cast("Ingest", shards), seat, ways(shards), load_catalogs(()))
    texts = [msgspec.json.encode(each) for each in events]
    content = b"\n".join(texts) if lines else b"[" + b",".join(texts) + b"]"
    told: list[Report | BaseException] = []
    divided.submit_body(Body("unsiloed", content, lines, None), told.append)
    [report] = told
    return report


def some(ids: str) -> list[dict[str, Any]]:
    """An event for each word: its id, and behind a colon its shard."""
    named = (each.split(":") for each in ids.split())
    return [{"id": name, "subject": OF_SHARD[int(shard)]} for name, shard in named]


@pytest.mark.parametrize("lines", [False, True])
def test_each_shard_gets_its_own_in_their_order_and_indexes_are_those_of_the_request(*, lines: bool) -> None:
    shards = Shards()
    report = submitted(shards, some("a:0 bad1:2 b:1 c:0 bad2:0 d:2"), lines=lines)
    assert isinstance(report, Report)
    assert shards.taken == {0: ["a", "c"], 1: ["b"], 2: ["d"]}
    assert (report.ingested, report.rejected, report.position) == (4, 2, "0-7.1-8.2-9")
    assert [(each.index, each.id) for each in report.errors] == [(1, "bad1"), (4, "bad2")]


@pytest.mark.parametrize("error", [Unavailable("away"), Overloaded("too much"), InsufficientStorage("full")])
def test_what_a_shard_could_not_take_is_told_of_each_event_and_before_all_else(error: Exception) -> None:
    shards = Shards()
    shards.failing[2] = error
    report = submitted(shards, some("bad1:0 x:2 a:0 y:2"))
    assert isinstance(report, Report)
    assert (report.ingested, report.rejected, report.errors_omitted) == (1, 3, 0)
    assert [(each.index, each.id, each.code) for each in report.errors] == [
        (1, "x", "unavailable"),
        (3, "y", "unavailable"),
        (0, "bad1", "invalid_event"),
    ]
    assert report.position == "0-7"
    assert status_of(report) == 503


def test_however_many_are_refused_it_is_told_that_some_were_not_taken() -> None:
    shards = Shards()
    shards.failing[0] = Unavailable("away")
    report = submitted(shards, some(" ".join([*(f"bad{n}:2" for n in range(150)), "x:0", "a:1"])))
    assert isinstance(report, Report)
    assert (report.ingested, report.rejected, len(report.errors), report.errors_omitted) == (1, 151, 100, 51)
    assert report.errors[0].code == "unavailable"
    assert status_of(report) == 503


def test_of_one_shard_alone_what_it_raises_is_raised() -> None:
    shards = Shards()
    shards.failing[0] = Unavailable("away")
    assert isinstance(submitted(shards, some("a:0 b:0")), Unavailable)


def test_what_names_no_organization_is_refused_by_the_process_that_has_the_request() -> None:
    shards = Shards()
    report = submitted(shards, [*some("a:0"), {"note": "nothing"}])
    assert isinstance(report, Report)
    assert [(each.index, each.code) for each in report.errors] == [(1, "invalid_event")]
    assert shards.taken == {0: ["a"], 1: []}


def test_a_body_that_is_no_json_is_refused_whole() -> None:
    seat = Seat(1, SHARDS)
    divided = DividedIngest(cast("Ingest", Shards()), seat, ways(Shards()), load_catalogs(()))
    with pytest.raises(Invalid):
        divided.submit_body(Body("unsiloed", b'[{"id":', lines=False, organization=None), lambda _: None)
