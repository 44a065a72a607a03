"""Records on their way to a Meterhouse: in batches, and what was refused, one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..batches import BATCH_BYTES, BATCH_EVENTS
from ..terminal import Failed
from .records import Record
from .refusals import Account, Refusal, RefusedFile

if TYPE_CHECKING:
    from ..client import Client

_TOLD_AT_ONCE = 100
"""How many errors of a request are told one by one."""


class _Exported(msgspec.Struct):
    namespace: str


_exported = msgspec.json.Decoder(_Exported)


class NotSent(Failed):
    """A Meterhouse did not take a batch: the same batch may be sent again, now or later."""


class Sender:
    """Sends records, counts what became of them, and keeps those that were refused."""

    def __init__(
        self,
        client: Client,
        namespace: str | None,
        account: Account,
        refused: RefusedFile | None,
        again: Callable[[str], bool] = lambda _: False,
    ):
        """Without a namespace each event names its own. `again` is told why a batch was not taken, waits, and says
        whether to send it again."""
        self._client = client
        self._namespace = namespace
        self._account = account
        self._refused = refused
        self._again = again

    def send(self, records: Iterable[Record]) -> Iterator[None]:
        """Sends them, and comes back after each batch. What came before is on disk then. Raises `NotSent`."""
        for namespace, batch in _batches(records, self._namespace):
            wrong = {index: each.wrong for index, each in enumerate(batch) if each.event is None}
            self._account.totals["rejected"] += len(wrong)
            if sent := [index for index, each in enumerate(batch) if each.event is not None]:
                told = self._taken(namespace, [batch[index] for index in sent])
                wrong |= {sent[index]: why for index, why in told.items()}
            refusals = [Refusal(batch[index], wrong[index]) for index in sorted(wrong)]
            self._account.tell(refusals)
            if self._refused is not None:
                self._refused.add(refusals)
            yield

    def _taken(self, namespace: str, batch: Sequence[Record]) -> dict[int, str]:
        """What was refused of a batch, and why: all of it when it is kept, else as much as is told."""
        report = self._sent(namespace, [each.event or b"" for each in batch])
        self._account.count(report)
        told = {each["index"]: each["message"] for each in report["errors"]}
        if report["errors_omitted"] and self._refused is not None:
            # Ask again, in batches whose errors are all told. What was ingested is a duplicate by now.
            rest = [index for index in range(len(batch)) if index not in told]
            for begin in range(0, len(rest), _TOLD_AT_ONCE):
                asked = rest[begin : begin + _TOLD_AT_ONCE]
                again = self._sent(namespace, [batch[index].event or b"" for index in asked])
                told |= {asked[each["index"]]: each["message"] for each in again["errors"]}
        return told

    def _sent(self, namespace: str, events: list[bytes]) -> dict[str, Any]:
        while True:
            try:
                return self._client.send_batch(namespace, events)
            except Failed as wrong:
                if not self._again(str(wrong)):
                    raise NotSent(str(wrong)) from None


def _batches(records: Iterable[Record], namespace: str | None) -> Iterator[tuple[str, list[Record]]]:
    """The records in batches of one namespace: the one given, or the one that each event names."""
    waiting: defaultdict[str, list[Record]] = defaultdict(list)
    sizes: defaultdict[str, int] = defaultdict(int)
    for number, record in enumerate(records, 1):
        size = len(record.event) if record.event is not None else len(record.original)
        named = namespace or ("" if record.event is None else _namespace_of(number, record))
        if waiting[named] and (len(waiting[named]) == BATCH_EVENTS or sizes[named] + size > BATCH_BYTES):
            yield named, waiting.pop(named)
            del sizes[named]
        waiting[named].append(record)
        sizes[named] += size + 1
    yield from waiting.items()


def _namespace_of(number: int, record: Record) -> str:
    try:
        return _exported.decode(record.event or b"").namespace
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Failed(
            f"event {number} names no namespace ({record.place}): give the namespace of all of them with --namespace"
        ) from None
