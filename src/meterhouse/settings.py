"""Every setting, where it comes from, and what it means. `docs/reference/settings.md` is held to this list."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias, TypeVar

from .domain.errors import Invalid
from .domain.period import parse_instant
from .domain.shards import VIRTUAL_SHARDS

_MOST_DAYS = 36_500
_DAYS_OF_NAMESPACE = re.compile(r"\s*([^=\s]+)\s*=\s*([1-9][0-9]{0,4})\s*", re.ASCII)
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", re.ASCII)
_CLICKHOUSE_CLUSTER = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_CLICKHOUSE_URL = re.compile(r"https?://([^\s/@]+@)?[^\s/@]+/[A-Za-z][A-Za-z0-9_]{0,99}", re.ASCII)
LOG_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

T = TypeVar("T")
Reader: TypeAlias = Callable[[str, str], T]
"""Reads a variable, given its name and its text. Raises `Invalid`, naming the variable."""


def _text(_name: str, text: str) -> str:
    return text


def _path(_name: str, text: str) -> Path:
    return Path(text)


def _paths(_name: str, text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(":") if part)


def _number(least: int, most: int) -> Reader[int]:
    def read(name: str, text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise Invalid(f"{name} is {text[:40]!r}; it must be a whole number from {least} to {most}")
        return int(text)

    return read


def _origins(name: str, text: str) -> tuple[str, ...]:
    if text in ("*", "none"):
        return ("*",) if text == "*" else ()
    origins = tuple(part.strip() for part in text.split(","))
    for origin in origins:
        if _ORIGIN.fullmatch(origin) is None:
            raise Invalid(f"{name} has {origin[:80]!r}; it must be *, none, or origins like https://app.example.com")
    return origins


def _days(name: str, text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        read = _DAYS_OF_NAMESPACE.fullmatch(part)
        if read is None or read[1] in found or int(read[2]) > _MOST_DAYS:
            raise Invalid(
                f"{name} has {part[:80]!r}; it must be like unsiloed=365,onepin=90: each namespace once, with a "
                f"whole number of days from 1 to {_MOST_DAYS}"
            )
        found[read[1]] = int(read[2])
    return found


def _clickhouse_cluster(name: str, text: str) -> str:
    if _CLICKHOUSE_CLUSTER.fullmatch(text) is None:
        raise Invalid(f"{name} is {text[:40]!r}; it must be a name of letters, digits, _, - and .")
    return text


def _addresses(name: str, text: str) -> str:
    if text not in ("public", "any"):
        raise Invalid(f"{name} is {text[:40]!r}; it must be public or any")
    return text


def _log_level(name: str, text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        raise Invalid(f"{name} is {text.lower()[:40]!r}; it must be one of {', '.join(LOG_LEVELS)}")
    return text.lower()


def _instant(name: str, text: str) -> datetime:
    try:
        return parse_instant(text)
    except Invalid as wrong:
        raise Invalid(f"{name}: {wrong}") from None


def _clickhouse_urls(name: str, text: str) -> tuple[str, ...]:
    urls = tuple(text.split())
    for number, url in enumerate(urls):
        if _CLICKHOUSE_URL.fullmatch(url) is None:
            raise Invalid(f"{name}: the URL of shard {number} must be like http://user:password@host:8123/meterhouse_0")
    if not 1 <= len(urls) <= VIRTUAL_SHARDS:
        raise Invalid(f"{name} must have 1 to {VIRTUAL_SHARDS} URLs, separated by spaces: one for each shard")
    places = [(url.rpartition("@")[2], number) for number, url in enumerate(urls)]
    for (place, number), (other, another) in pairwise(sorted(places)):
        if place == other:
            raise Invalid(f"{name}: shards {number} and {another} have the same database: each needs its own")
    return urls


def _admin_key(name: str, text: str) -> str:
    if len(text) < 16 or not text.isascii() or any(character.isspace() for character in text):
        raise Invalid(f"{name} must have at least 16 ASCII characters and no spaces")
    return text


def _setting(default: T, variable: str, read: Reader[T], *, secret: bool = False) -> T:
    """A setting that is read from the variable; an empty one is as good as none."""
    return field(default=default, metadata={"env": variable, "read": read}, repr=not secret)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server runs with. Each field can be given as the environment variable in its metadata."""

    data: Path = _setting(Path("meterhouse-data"), "METERHOUSE_DATA", _path)
    """The data folder: events, and the ledger unless `ledger_url` says otherwise."""
    host: str = _setting("127.0.0.1", "METERHOUSE_HOST", _text)
    """The address to listen on."""
    port: int = _setting(8000, "METERHOUSE_PORT", _number(1, 65535))
    """The port to listen on."""
    shards: int | None = _setting(None, "METERHOUSE_SHARDS", _number(1, 64))
    """How many processes share the organizations of a new data folder; one that is there keeps its number, which
    `meterhouse reshard` changes."""
    admin_key: str | None = _setting(None, "METERHOUSE_ADMIN_KEY", _admin_key, secret=True)
    """The admin credential; generated and printed once when unset."""
    catalogs: tuple[Path, ...] = _setting((), "METERHOUSE_CATALOGS", _paths)
    """Catalog files, in the environment separated by `:`; the five built-in ones when none is named."""
    ledger_url: str | None = _setting(None, "METERHOUSE_LEDGER_URL", _text, secret=True)
    """A SQLAlchemy URL, `postgresql+psycopg://…`; SQLite in the data folder when unset."""
    cluster_url: str | None = _setting(None, "METERHOUSE_CLUSTER_URL", _text, secret=True)
    """A SQLAlchemy URL, `postgresql+psycopg://…`: this server is a node of the cluster that has its ledger, its
    journals and its leases there."""
    clickhouse_urls: tuple[str, ...] = _setting((), "METERHOUSE_CLICKHOUSE_URLS", _clickhouse_urls, secret=True)
    """In a cluster, the server and the database of each shard, in the environment separated by spaces:
    `http://user:password@host:8123/meterhouse_0`. Meterhouse makes databases whose names begin like that."""
    clickhouse_cluster: str | None = _setting(None, "METERHOUSE_CLICKHOUSE_CLUSTER", _clickhouse_cluster)
    """The cluster, as ClickHouse's configuration names it, whose replicas all have the tables; single servers when
    unset."""
    node_host: str = _setting("", "METERHOUSE_NODE_HOST", _text)
    """In a cluster, the name or address under which the other nodes reach this one; its host name when unset."""
    node_listen: str = _setting("", "METERHOUSE_NODE_LISTEN", _text)
    """In a cluster, the address of this machine on which other nodes are answered; that of `node_host` when unset."""
    node_port: int = _setting(8100, "METERHOUSE_NODE_PORT", _number(1, 65_000))
    """In a cluster, where the other nodes reach this node's process of shard 0; that of shard k is k higher."""
    lease_seconds: int = _setting(5, "METERHOUSE_LEASE_SECONDS", _number(1, 60))
    """In a cluster, how long a node that is silent keeps its shards."""
    now: datetime | None = _setting(None, "METERHOUSE_NOW", _instant)
    """Freezes the clock at an RFC 3339 instant, for tests and demos."""
    max_body_bytes: int = _setting(32 * 1024 * 1024, "METERHOUSE_MAX_BODY_BYTES", _number(1024, 1024**3))
    """The largest request body, compressed or not; beyond it the answer is 413."""
    max_connections: int = _setting(8192, "METERHOUSE_MAX_CONNECTIONS", _number(128, 100_000))
    """How many connections may be open; others wait until one is closed."""
    idle_timeout_seconds: int = _setting(30, "METERHOUSE_IDLE_TIMEOUT_SECONDS", _number(1, 3600))
    """How long a connection may go without a complete request header; then it is closed."""
    body_timeout_seconds: int = _setting(10, "METERHOUSE_BODY_TIMEOUT_SECONDS", _number(1, 3600))
    """How long a body may take beside the time that its bytes take; beyond it the answer is 408."""
    body_bytes_per_second: int = _setting(16_384, "METERHOUSE_BODY_BYTES_PER_SECOND", _number(1, 1_000_000_000))
    """How slowly a body may come."""
    decoding_mib: int = _setting(64, "METERHOUSE_DECODING_MIB", _number(1, 64 * 1024))
    """How many MiB of bodies are read and decoded at once, compressed and decompressed; beyond it the answer is 429."""
    answer_cache_mib: int = _setting(32, "METERHOUSE_ANSWER_CACHE_MIB", _number(0, 64 * 1024))
    """How many MiB of answers are kept to be given again; 0 keeps none."""
    materialize_interval_seconds: int = _setting(1, "METERHOUSE_MATERIALIZE_INTERVAL_SECONDS", _number(1, 3600))
    """How often to look for events to materialize into rollups."""
    failed_keys_per_minute: int = _setting(100, "METERHOUSE_FAILED_KEYS_PER_MINUTE", _number(0, 1_000_000))
    """How many wrong keys Meterhouse's own API takes from one address in a minute before the answer is 429; 0 for no
    limit."""
    cors_origins: tuple[str, ...] = _setting(("*",), "METERHOUSE_CORS_ORIGINS", _origins)
    """Pages of which origins may call Meterhouse's own API from a browser, in the environment separated by `,`: `*` for
    all, `none` for none. A call needs its key all the same."""
    commit_delay_ms: int = _setting(2, "METERHOUSE_COMMIT_DELAY_MS", _number(0, 1000))
    """How long a commit waits, at most, for as many requests as were under way at the end of the last one."""
    commit_events: int = _setting(50_000, "METERHOUSE_COMMIT_EVENTS", _number(1, 1_000_000))
    """How many events may share a commit."""
    waiting_events: int = _setting(100_000, "METERHOUSE_WAITING_EVENTS", _number(1, 10_000_000))
    """How many events may wait for their commit; beyond it the answer is 429."""
    purge_after_days: int = _setting(30, "METERHOUSE_PURGE_AFTER_DAYS", _number(0, _MOST_DAYS))
    """How many days after an organization was deleted its events are removed; 0 keeps them."""
    retention_days: Mapping[str, int] = field(
        default_factory=dict, metadata={"env": "METERHOUSE_RETENTION_DAYS", "read": _days}
    )
    """By namespace, in the environment `unsiloed=365,onepin=90`: after how many days events are reduced to what meters
    read of them. Those of other namespaces stay whole."""
    webhook_addresses: str = _setting("public", "METERHOUSE_WEBHOOK_ADDRESSES", _addresses)
    """Where webhooks may be sent: `public` for the public internet, over https; `any` for private networks and this
    machine, too."""
    webhook_timeout_seconds: int = _setting(15, "METERHOUSE_WEBHOOK_TIMEOUT_SECONDS", _number(1, 60))
    """How long an attempt to deliver may take."""
    log_level: str = _setting("warning", "METERHOUSE_LOG_LEVEL", _log_level)
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

    def environment(self) -> dict[str, str]:
        """What `from_environment` reads the same settings from, as far as a command line may have changed them."""
        told = {"data": self.data, "host": self.host, "port": self.port, "admin_key": self.admin_key}
        told |= {"catalogs": ":".join(map(str, self.catalogs)), "now": self.now and self.now.isoformat()}
        variables = {each.name: each.metadata["env"] for each in fields(self)}
        return {variables[name]: str(value) for name, value in told.items() if value}


def new_admin_key() -> str:
    """For a server that was given none."""
    return f"mh_admin_{secrets.token_urlsafe(32)}"


VARIABLES = frozenset(each.metadata["env"] for each in fields(Settings)) | {"METERHOUSE_URL"}
"""The names of all variables but those of contracts; METERHOUSE_URL is the clients'."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings that the environment gives. Raises `Invalid`, naming the variable."""
    given = {
        each.name: each.metadata["read"](variable, environment[variable])
        for each in fields(Settings)
        if "read" in each.metadata and environment.get(variable := each.metadata["env"])
    }
    others = {
        name: text for name, text in environment.items() if name.startswith("METERHOUSE_") and name not in VARIABLES
    }
    return Settings(**given, contract_options=others)
