"""Alert rules, and raising what they are about: see `watch`."""

from .messages import Messages
from .rules import AlertRules, RuleDraft
from .watch import AlertWatch
from .worker import AlertWorker

__all__ = ["AlertRules", "AlertWatch", "AlertWorker", "Messages", "RuleDraft"]
