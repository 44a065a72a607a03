"""The comparison of checks and reservations runs, and what they are compared with does what it is said to."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bench.quota import measured, scripts_a_second
from bench.redis import CHECK, RESERVE, SERVER, Connection, RedisError, running_redis

from support.server import CANNOT

needs_redis = pytest.mark.skipif(SERVER is None, reason=f"{CANNOT}there is no redis-server")


def test_checks_and_reservations_are_measured(tmp_path: Path) -> None:
    for load in measured(tmp_path, 64):
        assert load.answered == 64
        assert load.failures == 0


@needs_redis
def test_redis_holds_exactly_the_limit_and_lets_go_of_what_has_ended() -> None:
    keys = (b"3", b"used", b"ends", b"amounts")
    with running_redis(durable=True) as path:

        def reserve(number: int, now: int = 1_000) -> bytes:
            with Connection(path) as redis:
                return redis.ask(b"EVAL", RESERVE, *keys, b"3", b"100", b"%d" % number, b"%d" % now)

        with ThreadPoolExecutor(16) as pool:
            assert [*pool.map(reserve, range(64))].count(b"1") == 33
        with Connection(path) as redis:
            assert redis.ask(b"GET", b"used") == b"99"
            assert [redis.ask(b"EVAL", CHECK, *keys, amount, b"100") for amount in (b"1", b"2")] == [b"1", b"0"]
        assert [reserve(now, now) for now in (1_299, 1_300, 1_301)] == [b"0", b"1", b"1"]
        with Connection(path) as redis:
            assert redis.ask(b"GET", b"used") == b"6"
            with pytest.raises(RedisError, match="unknown command"):
                redis.ask(b"NOTHING")


@needs_redis
@pytest.mark.parametrize("script", [CHECK, RESERVE])
def test_scripts_are_measured(script: bytes) -> None:
    assert scripts_a_second(64, script, durable=True) > 0
