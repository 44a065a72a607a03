"""The metrics of several processes in one answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


def labelled(texts: Mapping[int, bytes]) -> bytes:
    """The metrics of all shards, as Prometheus text, each with the label `shard`."""
    registry = CollectorRegistry()
    registry.register(_Together(texts))
    return generate_latest(registry)


class _Together(Collector):
    def __init__(self, texts: Mapping[int, bytes]):
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for shard in sorted(self._texts):
            for family in text_string_to_metric_families(self._texts[shard].decode()):
                kept = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    kept.samples.append(sample._replace(labels={"shard": str(shard), **sample.labels}))
        return iter(families.values())
