"""Reads topics of Kafka as a member of a consumer group, whose offsets are committed after events are stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from ..ingesting.records import Record
from ..ingesting.refusals import note
from ..terminal import Failed
from .kafka_messages import record_of
from .patience import Patience

_MESSAGES = 5_000
_ASSIGNED_WITHIN_S = 60

_Partition: TypeAlias = "tuple[str, int]"


@dataclass(slots=True)
class TopicSource:
    """Topics that are read from where a group is."""

    properties: Mapping[str, str]
    """Of librdkafka, beside those that follow from what is done here."""
    topics: Sequence[str]
    stopping: threading.Event
    patience: Patience
    store: Callable[[Iterable[Record]], None]
    """Returns when what it is given is stored."""
    _ended: set[_Partition] = field(default_factory=set)
    """The partitions whose end was reached."""

    def run(self, *, follow: bool) -> None:
        """Reads all there is, and what comes, if it is to `follow`. Raises `Failed`."""
        try:
            consumer = Consumer({**self.properties, **self._ours()})
        except KafkaException as wrong:
            raise Failed(f"Kafka: {wrong.args[0].str()}") from None
        try:
            consumer.subscribe([*self.topics], on_assign=self._assigned, on_revoke=self._revoked)
            begin = time.monotonic()
            while not self.stopping.is_set():
                read = self._read(consumer)
                assigned = {(each.topic, each.partition) for each in consumer.assignment()}
                if follow or read:
                    continue
                if assigned and assigned <= self._ended:
                    return
                if not assigned and time.monotonic() - begin > _ASSIGNED_WITHIN_S:
                    raise Failed(
                        f"Kafka gave no partition of {', '.join(self.topics)} to this member of the group within "
                        f"{_ASSIGNED_WITHIN_S} s: is the topic there, do the brokers answer, has another member all?"
                    )
        except KafkaException as wrong:
            raise Failed(f"Kafka: {wrong.args[0].str()}") from None
        finally:
            consumer.close()

    def _ours(self) -> dict[str, object]:
        return {
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",  # else messages would be skipped, and nobody told
            "partition.assignment.strategy": "range,roundrobin",
            "error_cb": lambda wrong: self.patience.tell(f"Kafka: {wrong.str()}"),
            "log_level": 0,
        }

    def _read(self, consumer: Consumer) -> bool:
        """Stores the next messages, and then commits. Whether there were any."""
        messages: list[Message] = []
        ends: dict[_Partition, int] = {}
        for each in consumer.consume(_MESSAGES, 1):
            if not self._is_news(each):
                messages.append(each)
                ends[_partition_of(each)] = (each.offset() or 0) + 1
        if messages:
            self.store(record_of(each) for each in messages)
            self._commit(consumer, ends)
        return bool(messages)

    def _is_news(self, message: Message) -> bool:
        """Whether it is no message, but about the partition. Raises `Failed`."""
        wrong = message.error()
        if wrong is None:
            return False
        if wrong.code() == KafkaError._PARTITION_EOF:
            self._ended.add(_partition_of(message))
        elif wrong.retriable():
            self.patience.tell(f"Kafka: {wrong.str()}")
        else:
            raise Failed(f"Kafka, {message.topic()}: {wrong.str()}")
        return True

    def _commit(self, consumer: Consumer, ends: Mapping[_Partition, int]) -> None:
        """What is not committed is read again, which changes nothing."""
        offsets = [TopicPartition(topic, number, end) for (topic, number), end in ends.items()]
        try:
            committed = consumer.commit(offsets=offsets, asynchronous=False) or []
            wrong = next((each.error.str() for each in committed if each.error is not None), "")
        except KafkaException as failed:
            wrong = failed.args[0].str()
        if wrong:
            self.patience.tell(f"Kafka: the offsets of {len(offsets)} partitions were not committed: {wrong}")

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Begins where the group is; at the beginning of a partition where it never was."""
        begins = []
        for each in consumer.committed(partitions, timeout=30):
            first, _ = consumer.get_watermark_offsets(each, timeout=30)
            if 0 <= each.offset < first:
                note(
                    f"{each.topic} [{each.partition}]: the messages {each.offset} to {first - 1} were never read, and "
                    "are gone: the topic kept them for too short a time"
                )
            offset = max(each.offset, first) if each.offset >= 0 else OFFSET_BEGINNING
            begins.append(TopicPartition(each.topic, each.partition, offset))
        self._ended.clear()
        consumer.assign(begins)

    def _revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        self._ended.clear()
        consumer.unassign()


def _partition_of(message: Message) -> _Partition:
    return message.topic() or "", message.partition() or 0
