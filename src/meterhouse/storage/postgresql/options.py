"""How connections to PostgreSQL are made: a database that does not answer is given up, and does not hold up others."""

from __future__ import annotations

from typing import Any

_ANSWERS_WITHIN_MS = 10_000
OPTIONS: dict[str, Any] = {
    "connect_timeout": 3,
    "tcp_user_timeout": _ANSWERS_WITHIN_MS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "options": f"-c statement_timeout={_ANSWERS_WITHIN_MS}",
}
"""By libpq's names."""
