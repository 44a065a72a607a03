"""Topics of Kafka, against librdkafka's mock cluster, which speaks the protocol on loopback, groups and offsets too; or
against the brokers that TEST_KAFKA_BROKERS names."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, Producer, TopicPartition
from ingests import AT, ingest, remote, used
from test_watch import until

from meterhouse.cli.event_sources.kafka_source import TopicSource
from meterhouse.cli.event_sources.patience import Patience
from support.processes import Process, run_meterhouse
from support.server import Server, event

_numbers = count(1)


@dataclass
class Broker:
    """What tests write to."""

    address: str
    producer: Producer
    properties: Path
    """Of clients: a group lets go soon of a member that was killed."""

    def send(self, topic: str, *values: Any, headers: dict[str, Any] | None = None, partition: int = 0) -> None:
        for value in values:
            content = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
            self.producer.produce(topic, content, headers=headers, partition=partition)
        assert self.producer.flush(30) == 0

    def committed(self, topic: str, group: str) -> int:
        """The offset of the group in partition 0; -1001 where there is none."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": group})
        try:
            [found] = consumer.committed([TopicPartition(topic, 0)], timeout=30)
            return int(found.offset)
        finally:
            consumer.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    properties = tmp_path_factory.mktemp("kafka") / "client.properties"
    properties.write_text("# ours\n\nsession.timeout.ms = 6000\nheartbeat.interval.ms=500\n")
    if given := os.environ.get("TEST_KAFKA_BROKERS"):
        yield Broker(given, Producer({"bootstrap.servers": given}), properties)
        return
    cluster = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    [first] = cluster.list_topics(timeout=30).brokers.values()
    yield Broker(f"{first.host}:{first.port}", cluster, properties)


@pytest.fixture
def topic() -> str:
    return f"usage-{os.getpid()}-{next(_numbers)}"


def command(broker: Broker, topic: str, *more: str, properties: Path | None = None) -> list[str]:
    where = (
        "--brokers",
        broker.address,
        "--topic",
        topic,
        "--group",
        topic,
        "--properties",
        str(properties or broker.properties),
    )
    return ["source", "kafka", "--namespace", "unsiloed", *where, *more]


def read(server: Server, arguments: list[str]) -> tuple[int, dict[str, int], str]:
    done = run_meterhouse(*arguments, "--json", environment=remote(server))
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr.decode()


@contextmanager
def following(server: Server, arguments: list[str], said: Path) -> Iterator[Process]:
    said.touch()
    process = Process([*arguments, "--follow"], remote(server), printed=said)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def test_events_in_both_modes_and_messages_that_are_none(
    server: Server, org: str, broker: Broker, topic: str, tmp_path: Path
) -> None:
    good = event("credit.used", org, {"amount": 1})
    broker.send(topic, json.dumps(good, indent=2).encode())
    broker.send(
        topic,
        event("credit.used", org, {"amount": 2}),
        headers={"content-type": "application/cloudevents+json; charset=utf-8"},
    )
    binary = {"ce_specversion": "1.0", "ce_id": "b-1", "ce_source": "k", "ce_type": "credit.used", "ce_subject": org}
    broker.send(topic, {"amount": "0.10"}, headers={**binary, "CE_time": AT, "content-type": "application/json"})
    bad = event("credit.used", org, {"amount": "many"})
    broker.send(topic, b"\xff\x00", b"", None, b"[1]", b'{"id": ', bad)
    broker.send(topic, {"amount": 1}, headers={**binary, "content-type": "text/xml"})
    broker.send(topic, [good], headers={"content-type": "application/cloudevents-batch+json"})
    broker.send(topic, event("credit.used", org, {"amount": 4}))
    kept = tmp_path / "refused"
    arguments = command(broker, topic, "--refused", str(kept))
    code, totals, told = read(server, arguments)
    assert (code, totals["ingested"], totals["rejected"]) == (3, 4, 8), told
    assert f"{used(server, org)}" == "7.1"
    for offset, words in (
        (3, "the message is not JSON"),
        (4, "the message is empty"),
        (5, "the message is empty"),
        (6, "the message is no JSON object"),
        (7, "the message is not JSON"),
        (8, "data.amount must be a number"),
        (9, "the data of the event is text/xml"),
        (10, "the message is application/cloudevents-batch+json"),
    ):
        assert f"{topic} [0] at {offset}: {words}" in told
    refused = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(each["topic"], each["partition"], each["offset"]) for each in refused] == [
        (topic, 0, offset) for offset in range(3, 11)
    ]
    assert base64.b64decode(refused[0]["value"]["base64"]) == b"\xff\x00"
    assert refused[2]["value"] is None
    assert refused[6]["headers"]["ce_id"] == "b-1"
    mended = refused[5]["value"].replace('"many"', "8")
    assert ingest(server, "-", stdin=mended.encode())[1]["ingested"] == 1
    assert broker.committed(topic, topic) == 12
    story = server.admin("GET", "/v1/namespaces/unsiloed/events/k/b-1").json()
    assert (story["time"], story["data"]) == (AT, {"amount": "0.10"})


@pytest.mark.thorough
def test_offsets_are_committed_after_events_are_stored_whatever_is_killed(
    server: Server, org: str, broker: Broker, topic: str, tmp_path: Path
) -> None:
    count = 24_000
    events = [event("credit.used", org, {"amount": 1}) for _ in range(count)]
    broker.send(topic, *events[: count // 2])
    said = tmp_path / "said"
    with following(server, command(broker, topic), said) as process:
        until(lambda: used(server, org) > 0)
        assert broker.committed(topic, topic) <= used(server, org)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    assert broker.committed(topic, topic) <= used(server, org)
    with following(server, command(broker, topic), said) as process:
        broker.send(topic, *events[count // 2 :])
        until(lambda: used(server, org) == count)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert broker.committed(topic, topic) == count
    told = said.read_text().splitlines()[-1]
    ingested, duplicates = (int(part.split()[0].replace(",", "")) for part in told.split(", ")[:2])
    assert ingested + duplicates >= count // 2
    assert "0 conflicts, 0 rejected" in told


@pytest.mark.thorough
def test_messages_wait_while_the_server_is_away(server: Server, broker: Broker, topic: str, tmp_path: Path) -> None:
    """Nothing is committed of what was not stored."""
    broker.send(topic, event("credit.used", "acme", {"amount": 1}))
    away = {**remote(server), "METERHOUSE_URL": "http://127.0.0.1:1"}
    done = run_meterhouse(*command(broker, topic), environment=away)
    assert done.returncode == 1
    assert b"does not answer" in done.stderr
    assert broker.committed(topic, topic) == -1001
    said = tmp_path / "said"
    said.touch()
    process = Process([*command(broker, topic), "--follow"], away, printed=said)
    try:
        until(lambda: "it is tried again every" in said.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
    assert broker.committed(topic, topic) == -1001


def test_what_cannot_be_is_said(server: Server, broker: Broker, topic: str, tmp_path: Path) -> None:
    wrong, odd = tmp_path / "wrong", tmp_path / "odd"
    wrong.write_text("sasl.password\n")
    odd.write_text("no.such.property=1\n")
    for path, words in (
        (wrong, "wrong, line 1: a property is like"),
        (odd, 'No such configuration property: "no.such.property"'),
        (tmp_path / "absent", "cannot be read"),
    ):
        code, _, told = read(server, command(broker, topic, properties=path))
        assert code == 1
        assert words in told


class _Group:
    """A consumer whose group has read up to 5 of a partition that begins at 9 by now, and nothing of two others."""

    def committed(self, partitions: list[TopicPartition], **_: object) -> list[TopicPartition]:
        offsets = [5, OFFSET_INVALID, 12]
        return [TopicPartition(each.topic, each.partition, offsets[each.partition]) for each in partitions]

    def get_watermark_offsets(self, _: TopicPartition, **__: object) -> tuple[int, int]:
        return 9, 20

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.begins = [each.offset for each in partitions]


def test_messages_that_a_topic_did_not_keep_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    stopping = threading.Event()
    source = TopicSource({}, ["usage"], stopping, Patience(stopping, 1, goes_on=False), lambda _: None)
    group = _Group()
    source._assigned(cast("Consumer", group), [TopicPartition("usage", number) for number in range(3)])
    assert group.begins == [9, OFFSET_BEGINNING, 12]
    told = capfd.readouterr().err
    assert "usage [0]: the messages 5 to 8 were never read, and are gone" in told
    assert "usage [1]" not in told
    assert source._ours()["auto.offset.reset"] == "error"
