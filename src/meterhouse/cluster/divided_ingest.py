"""Taking in a request whose events are of several shards: each gets its own, and the reports are put together again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

import msgspec

from ..domain.errors import InsufficientStorage, MeterhouseError, Overloaded, Unavailable
from ..domain.position import format_position, parse_position
from ..domain.shards import Seat
from ..services.catalogs import Catalogs
from ..services.ingest import MAX_ERRORS, Body, Done, Failure, Ingest, Report, split_events
from .outbox import Outbox
from .peers import Peers


class _Named(msgspec.Struct):
    """What is read of an event to find its shard, and to name it where that does not answer."""

    subject: str = ""
    id: str = ""


_PASSING = (Unavailable, Overloaded, InsufficientStorage)
"""Why a shard may take none of its events now, and all of them later."""
_named = msgspec.json.Decoder(_Named)


@dataclass(slots=True)
class _Part:
    """The events of a request that are of one shard."""

    raws: list[bytes] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    """Where each of them stands in the request."""


class DividedIngest:
    """Takes a request's events to the shards that they are of. What is wrong with an event is said by the shard that it
    would be of, one that names no organization by this one."""

    def __init__(self, ingest: Ingest, seat: Seat, outboxes: Mapping[int, Outbox], catalogs: Catalogs):
        """`ingest` is that of this process's shard, `outboxes` lead to the others."""
        self._ingest = ingest
        self._seat = seat
        self._outboxes = outboxes
        self._catalogs = catalogs

    def submit_body(self, body: Body, done: Done) -> None:
        """See `Ingest.submit_body`. Where one of several shards takes nothing now, the report says so of each of its
        events, with the code `unavailable`, before it says anything else."""
        self._catalogs.get(body.namespace)
        parts = self._parts(body)
        if len(parts) == 1:
            [shard] = parts
            if shard == self._seat.number:
                self._ingest.submit_body(body, done)
            else:
                self._outboxes[shard].put(body, done)
            return
        gathering = _Gathering(parts, done)
        for shard, part in parts.items():
            content = b"\n".join(part.raws) if body.lines else b"[" + b",".join(part.raws) + b"]"
            self._submit_part(shard, replace(body, content=content), gathering.expect(shard))

    def _parts(self, body: Body) -> dict[int, _Part]:
        seat = self._seat
        if body.organization is not None:  # only its own events are taken, whatever others there are
            return {seat.shard_of(body.namespace, body.organization): _Part()}
        parts: defaultdict[int, _Part] = defaultdict(_Part)
        for index, raw in enumerate(split_events(body.content, lines=body.lines)):
            subject = _read(raw).subject
            shard = seat.shard_of(body.namespace, subject) if subject else seat.number
            parts[shard].raws.append(raw)
            parts[shard].indexes.append(index)
        return dict(parts) or {seat.number: _Part()}

    def _submit_part(self, shard: int, body: Body, done: Done) -> None:
        try:
            if shard == self._seat.number:
                self._ingest.submit_body(body, done)
            else:
                self._outboxes[shard].put(body, done)
        except MeterhouseError as refused:
            done(refused)


def divided(ingest: Ingest, seat: Seat, peers: Peers, catalogs: Catalogs) -> DividedIngest:
    """The ingest of a process that has other shards beside it."""
    return DividedIngest(ingest, seat, {shard: Outbox(peers, shard) for shard in peers.others}, catalogs)


class _Gathering:
    """The reports of a request's parts, until all are there."""

    def __init__(self, parts: dict[int, _Part], done: Done):
        self._parts = parts
        self._done = done
        self._reports: dict[int, Report | BaseException] = {}
        self._lock = Lock()

    def expect(self, shard: int) -> Done:
        """What is called with the report of a shard's part."""

        def done(report: Report | BaseException) -> None:
            with self._lock:
                self._reports[shard] = report
                if len(self._reports) < len(self._parts):
                    return
            self._done(self._together())

        return done

    def _together(self) -> Report | BaseException:
        whole = Report()
        errors: list[Failure] = []
        absent: list[Failure] = []
        positions: dict[int, int] = {}
        for shard, part in self._parts.items():
            report = self._reports[shard]
            if isinstance(report, _PASSING):
                absent += _not_taken(part, report)
            elif isinstance(report, BaseException):
                return report
            else:
                whole.ingested += report.ingested
                whole.duplicates += report.duplicates
                whole.conflicts += report.conflicts
                whole.rejected += report.rejected
                whole.unmatched += report.unmatched
                errors += [_moved(each, part) for each in report.errors]
                positions.update(parse_position(report.position))
        whole.rejected += len(absent)
        listed = [*sorted(absent, key=_place), *sorted(errors, key=_place)]
        whole.errors = listed[:MAX_ERRORS]
        whole.errors_omitted = whole.rejected + whole.conflicts - len(whole.errors)
        whole.position = format_position(positions)
        return whole


def _place(failure: Failure) -> int:
    return failure.index


def _moved(failure: Failure, part: _Part) -> Failure:
    return Failure(part.indexes[failure.index], failure.id, failure.code, failure.message)


def _not_taken(part: _Part, error: MeterhouseError) -> Sequence[Failure]:
    return [
        Failure(index, _read(raw).id or None, Unavailable.code, str(error))
        for index, raw in zip(part.indexes, part.raws, strict=True)
    ]


def _read(raw: bytes) -> _Named:
    try:
        return _named.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _Named()
