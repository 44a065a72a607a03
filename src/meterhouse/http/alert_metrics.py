"""The figures of alerts and webhooks."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from ..domain.delivery import AttemptOutcome
from ..ports.alerts import Raising
from ..ports.clock import Clock
from ..services.alerts import AlertWorker
from ..services.webhooks import Deliverer


class AlertMetrics:
    """The part of `Metrics` that is about what a server tells by itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.alerts_raised = Counter(
            "meterhouse_alerts_raised_total",
            "Alerts that rules have raised",
            ["namespace", "basis"],
            registry=registry,
        )
        self.webhook_attempts = Counter(
            "meterhouse_webhook_attempts_total",
            "Attempts to deliver a message to a webhook endpoint",
            ["outcome"],
            registry=registry,
        )
        self.webhook_pending = Gauge("meterhouse_webhook_pending_deliveries", "Deliveries that wait", registry=registry)
        self.webhook_oldest = Gauge(
            "meterhouse_webhook_oldest_pending_seconds", "How long the oldest of them has waited", registry=registry
        )
        for outcome in ("delivered", "failed"):
            self.webhook_attempts.labels(outcome)

    def watch_alerts(self, worker: AlertWorker, deliverer: Deliverer, clock: Clock) -> None:
        """Follows what is raised and delivered, and what waits."""

        def found(raising: Raising) -> None:
            for alert in raising.raised:
                self.alerts_raised.labels(alert.namespace, alert.basis).inc()

        def attempted(outcome: AttemptOutcome) -> None:
            self.webhook_attempts.labels("delivered" if outcome.succeeded else "failed").inc()

        def age_s() -> float:
            oldest = deliverer.waiting.oldest
            return 0 if oldest is None else max(0, (clock.now() - oldest).total_seconds())

        worker.on_raised, deliverer.on_attempt = found, attempted
        self.webhook_pending.set_function(lambda: deliverer.waiting.pending)
        self.webhook_oldest.set_function(age_s)
