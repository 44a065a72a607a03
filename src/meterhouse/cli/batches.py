"""How much goes to a server with one request."""

from __future__ import annotations

BATCH_EVENTS = 5_000
"""The most events of a request."""
BATCH_BYTES = 4 * 1024 * 1024
"""The most bytes of a request's events."""
