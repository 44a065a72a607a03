"""Slows down who guesses keys: an address with too many failures waits, unless its key is known to be right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from threading import Lock

import structlog
from cachetools import LRUCache, TTLCache

WRONG_KEY = "wrong_key"
RIGHT_KEY = "right_key"
_WINDOW_S = 60
_MOST_ADDRESSES = 10_000
_MOST_KEYS = 10_000

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Failures:
    began_s: float
    count: int = 0


class Attempts:
    """Counts failures by address, in windows of a minute. May be used from many threads.

    Memory is bounded: of addresses and of keys the latest 10,000 are remembered. An IPv6 address stands for its /64,
    of which one client may have all.
    """

    def __init__(
        self,
        failures_per_minute: int,
        monotonic: Callable[[], float] = time.monotonic,
        tell: Callable[[str, str], None] | None = None,
    ):
        """With 0 failures a minute there is no limit. `tell` is told what other processes of the server are to
        remember as well; see `remember`."""
        self._tell = tell or (lambda _news, _of: None)
        self._most = failures_per_minute
        self._monotonic = monotonic
        self._failures: TTLCache[str, _Failures] = TTLCache(_MOST_ADDRESSES, _WINDOW_S, monotonic)
        self._right: LRUCache[str, None] = LRUCache(_MOST_KEYS)
        self._lock = Lock()

    def wait_s(self, address: str, key_hash: str) -> int:
        """How many seconds a request must wait before its key is looked at; 0: it need not."""
        if key_hash in self._right or not self._failures:
            return 0
        with self._lock:
            found = self._failures.get(_network(address))
            if found is None or not self._most or found.count < self._most:
                return 0
            return max(1, int(found.began_s + _WINDOW_S - self._monotonic()) + 1)

    def failed(self, address: str) -> None:
        """Remembers that a key from there was wrong."""
        self._count(address)
        self._tell(WRONG_KEY, address)

    def remember(self, news: str, of: str) -> None:
        """Remembers what another process was told: a `WRONG_KEY` from an address, or the hash of a `RIGHT_KEY`."""
        if news == WRONG_KEY:
            self._count(of)
        else:
            self._keep(of)

    def _count(self, address: str) -> None:
        network = _network(address)
        with self._lock:
            found = self._failures.get(network)
            if found is None:
                found = self._failures[network] = _Failures(self._monotonic())
            found.count += 1
            if found.count == self._most:
                _log.warning("too many wrong keys from one address", address=address, failures=found.count)

    def succeeded(self, key_hash: str) -> None:
        """Remembers that a key is right: its requests never wait for the failures of others."""
        if key_hash not in self._right:
            self._keep(key_hash)
            self._tell(RIGHT_KEY, key_hash)

    def _keep(self, key_hash: str) -> None:
        with self._lock:
            self._right[key_hash] = None


def _network(address: str) -> str:
    try:
        read = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(read, IPv6Address):
        return str(read.ipv4_mapped or read.exploded[:19])
    return address
