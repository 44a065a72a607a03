"""Every setting, where it comes from, and what it means. `docs/reference/settings.md` is held to this list."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path

from .domain.errors import Invalid
from .domain.period import parse_instant


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server runs with. Each field can be given as the environment variable in its metadata."""

    data: Path = field(default=Path("meterhouse-data"), metadata={"env": "METERHOUSE_DATA"})
    """The data folder: events, and the ledger unless `ledger_url` says otherwise."""
    host: str = field(default="127.0.0.1", metadata={"env": "METERHOUSE_HOST"})
    """The address to listen on."""
    port: int = field(default=8000, metadata={"env": "METERHOUSE_PORT"})
    """The port to listen on."""
    admin_key: str | None = field(default=None, metadata={"env": "METERHOUSE_ADMIN_KEY"}, repr=False)
    """The admin credential; generated and printed once when unset."""
    catalogs: tuple[Path, ...] = field(default=(), metadata={"env": "METERHOUSE_CATALOGS"})
    """Catalog files, in the environment separated by `:`; the five built-in ones when none is named."""
    ledger_url: str | None = field(default=None, metadata={"env": "METERHOUSE_LEDGER_URL"}, repr=False)
    """A SQLAlchemy URL, `postgresql+psycopg://…`; SQLite in the data folder when unset."""
    now: datetime | None = field(default=None, metadata={"env": "METERHOUSE_NOW"})
    """Freezes the clock at an RFC 3339 instant, for tests and demos."""
    max_body_bytes: int = field(default=32 * 1024 * 1024, metadata={"env": "METERHOUSE_MAX_BODY_BYTES"})
    """The largest request body, compressed or not; beyond it the answer is 413."""
    max_connections: int = field(default=8192, metadata={"env": "METERHOUSE_MAX_CONNECTIONS"})
    """How many connections may be open; others wait until one is closed."""
    idle_timeout_seconds: int = field(default=30, metadata={"env": "METERHOUSE_IDLE_TIMEOUT_SECONDS"})
    """How long a connection may go without a complete request header; then it is closed."""
    body_timeout_seconds: int = field(default=10, metadata={"env": "METERHOUSE_BODY_TIMEOUT_SECONDS"})
    """How long a body may take beside the time that its bytes take; beyond it the answer is 408."""
    body_bytes_per_second: int = field(default=16_384, metadata={"env": "METERHOUSE_BODY_BYTES_PER_SECOND"})
    """How slowly a body may come."""
    decoding_mib: int = field(default=64, metadata={"env": "METERHOUSE_DECODING_MIB"})
    """How many MiB of bodies are read and decoded at once, compressed and decompressed; beyond it the answer is 429."""
    answer_cache_mib: int = field(default=32, metadata={"env": "METERHOUSE_ANSWER_CACHE_MIB"})
    """How many MiB of answers are kept to be given again; 0 keeps none."""
    fold_interval_seconds: int = field(default=1, metadata={"env": "METERHOUSE_FOLD_INTERVAL_SECONDS"})
    """How often to look for events to fold into rollups."""
    failed_keys_per_minute: int = field(default=100, metadata={"env": "METERHOUSE_FAILED_KEYS_PER_MINUTE"})
    """How many wrong keys Meterhouse's own API takes from one address in a minute before the answer is 429; 0 for no
    limit."""
    cors_origins: tuple[str, ...] = field(default=("*",), metadata={"env": "METERHOUSE_CORS_ORIGINS"})
    """Pages of which origins may call Meterhouse's own API from a browser, in the environment separated by `,`: `*` for
    all, `none` for none. A call needs its key all the same."""
    commit_delay_ms: int = field(default=2, metadata={"env": "METERHOUSE_COMMIT_DELAY_MS"})
    """How long a commit waits, at most, for as many requests as were under way at the end of the last one."""
    commit_events: int = field(default=50_000, metadata={"env": "METERHOUSE_COMMIT_EVENTS"})
    """How many events may share a commit."""
    waiting_events: int = field(default=100_000, metadata={"env": "METERHOUSE_WAITING_EVENTS"})
    """How many events may wait for their commit; beyond it the answer is 429."""
    purge_after_days: int = field(default=30, metadata={"env": "METERHOUSE_PURGE_AFTER_DAYS"})
    """How many days after an organization was deleted its events are removed; 0 keeps them."""
    retention_days: Mapping[str, int] = field(default_factory=dict, metadata={"env": "METERHOUSE_RETENTION_DAYS"})
    """By namespace, in the environment `unsiloed=365,onepin=90`: after how many days events are reduced to what meters
    read of them. Those of other namespaces stay whole."""
    log_level: str = field(default="warning", metadata={"env": "METERHOUSE_LOG_LEVEL"})
    """debug, info (start, stop, settings, and a line per request), warning or error."""
    contract_options: Mapping[str, str] = field(
        default_factory=dict, metadata={"env": "METERHOUSE_<CONTRACT>_<OPTION>"}, repr=False
    )
    """All other METERHOUSE_* variables. Each contract knows its own; one that none knows stops the start."""

    def described(self) -> dict[str, str]:
        """What can be told of the settings: all but secrets, of which only whether they are set."""
        told = {each.name: str(getattr(self, each.name)) for each in fields(self) if each.repr}
        kept = {each.name: "set" for each in fields(self) if not each.repr and getattr(self, each.name)}
        return told | kept | {"contract_options": " ".join(sorted(self.contract_options))}


_MOST_DAYS = 36_500
_DAYS_OF_NAMESPACE = re.compile(r"\s*([^=\s]+)\s*=\s*([1-9][0-9]{0,4})\s*", re.ASCII)
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", re.ASCII)
LOG_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


VARIABLES = frozenset(each.metadata["env"] for each in fields(Settings)) | {"METERHOUSE_URL"}
"""The names of all variables but those of contracts; METERHOUSE_URL is the clients'."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment gives. Raises `Invalid`, naming the variable."""
    read = _Environment(environment)
    default = Settings()
    return Settings(
        data=Path(read.text("METERHOUSE_DATA", str(default.data))),
        host=read.text("METERHOUSE_HOST", default.host),
        port=read.number("METERHOUSE_PORT", default.port, 1, 65535),
        admin_key=read.admin_key("METERHOUSE_ADMIN_KEY"),
        catalogs=tuple(Path(part) for part in read.text("METERHOUSE_CATALOGS", "").split(":") if part),
        ledger_url=read.text("METERHOUSE_LEDGER_URL", "") or None,
        now=read.instant("METERHOUSE_NOW"),
        max_body_bytes=read.number("METERHOUSE_MAX_BODY_BYTES", default.max_body_bytes, 1024, 1024**3),
        max_connections=read.number("METERHOUSE_MAX_CONNECTIONS", default.max_connections, 128, 100_000),
        idle_timeout_seconds=read.number("METERHOUSE_IDLE_TIMEOUT_SECONDS", default.idle_timeout_seconds, 1, 3600),
        body_timeout_seconds=read.number("METERHOUSE_BODY_TIMEOUT_SECONDS", default.body_timeout_seconds, 1, 3600),
        body_bytes_per_second=read.number(
            "METERHOUSE_BODY_BYTES_PER_SECOND", default.body_bytes_per_second, 1, 1_000_000_000
        ),
        decoding_mib=read.number("METERHOUSE_DECODING_MIB", default.decoding_mib, 1, 64 * 1024),
        answer_cache_mib=read.number("METERHOUSE_ANSWER_CACHE_MIB", default.answer_cache_mib, 0, 64 * 1024),
        fold_interval_seconds=read.number("METERHOUSE_FOLD_INTERVAL_SECONDS", default.fold_interval_seconds, 1, 3600),
        failed_keys_per_minute=read.number(
            "METERHOUSE_FAILED_KEYS_PER_MINUTE", default.failed_keys_per_minute, 0, 1_000_000
        ),
        cors_origins=read.origins("METERHOUSE_CORS_ORIGINS", default.cors_origins),
        commit_delay_ms=read.number("METERHOUSE_COMMIT_DELAY_MS", default.commit_delay_ms, 0, 1000),
        commit_events=read.number("METERHOUSE_COMMIT_EVENTS", default.commit_events, 1, 1_000_000),
        waiting_events=read.number("METERHOUSE_WAITING_EVENTS", default.waiting_events, 1, 10_000_000),
        purge_after_days=read.number("METERHOUSE_PURGE_AFTER_DAYS", default.purge_after_days, 0, _MOST_DAYS),
        retention_days=read.days("METERHOUSE_RETENTION_DAYS"),
        log_level=read.choice("METERHOUSE_LOG_LEVEL", default.log_level, LOG_LEVELS),
        contract_options={
            name: text for name, text in environment.items() if name.startswith("METERHOUSE_") and name not in VARIABLES
        },
    )


@dataclass(frozen=True, slots=True)
class _Environment:
    variables: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        return self.variables.get(name) or default

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name, str(default))
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise Invalid(f"{name} is {text[:40]!r}; it must be a whole number from {least} to {most}")
        return int(text)

    def origins(self, name: str, default: tuple[str, ...]) -> tuple[str, ...]:
        text = self.text(name, ",".join(default))
        if text in ("*", "none"):
            return ("*",) if text == "*" else ()
        origins = tuple(part.strip() for part in text.split(","))
        for origin in origins:
            if _ORIGIN.fullmatch(origin) is None:
                raise Invalid(
                    f"{name} has {origin[:80]!r}; it must be *, none, or origins like https://app.example.com"
                )
        return origins

    def days(self, name: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for part in filter(None, self.text(name, "").split(",")):
            read = _DAYS_OF_NAMESPACE.fullmatch(part)
            if read is None or read[1] in found or int(read[2]) > _MOST_DAYS:
                raise Invalid(
                    f"{name} has {part[:80]!r}; it must be like unsiloed=365,onepin=90: each namespace once, with a "
                    f"whole number of days from 1 to {_MOST_DAYS}"
                )
            found[read[1]] = int(read[2])
        return found

    def choice(self, name: str, default: str, choices: Mapping[str, int]) -> str:
        text = self.text(name, default).lower()
        if text not in choices:
            raise Invalid(f"{name} is {text[:40]!r}; it must be one of {', '.join(choices)}")
        return text

    def instant(self, name: str) -> datetime | None:
        text = self.text(name, "")
        try:
            return parse_instant(text) if text else None
        except Invalid as wrong:
            raise Invalid(f"{name}: {wrong}") from None

    def admin_key(self, name: str) -> str | None:
        text = self.text(name, "")
        if text and (len(text) < 16 or not text.isascii() or any(character.isspace() for character in text)):
            raise Invalid(f"{name} must have at least 16 ASCII characters and no spaces")
        return text or None
