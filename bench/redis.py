"""A real Redis that counts, on a socket of its own, and the scripts by which it checks and holds amounts."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

SERVER = shutil.which("redis-server")
"""None where there is none: apt-get install redis-server."""

CHECK = b"""
return tonumber(ARGV[2]) - tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) and 1 or 0
"""
"""Whether there is room: the key of what is used and held; the amount, the limit."""

RESERVE = b"""
for _, over in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[4])) do
  redis.call('DECRBY', KEYS[1], redis.call('HGET', KEYS[3], over))
  redis.call('HDEL', KEYS[3], over)
  redis.call('ZREM', KEYS[2], over)
end
if tonumber(ARGV[2]) - tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then return 0 end
redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[4] + 300, ARGV[3])
redis.call('HSET', KEYS[3], ARGV[3], ARGV[1])
return 1
"""
"""The same, and holds it: also the keys of when amounts end and how much they are; the id, the time in seconds."""

_READY_S = 10.0


class RedisError(Exception):
    """What the server answers instead."""


class Connection:
    """Speaks as much of its protocol as this needs."""

    def __init__(self, path: Path):
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._answers: BinaryIO = self._socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._answers.close()
        self._socket.close()

    def ask(self, *words: bytes) -> bytes:
        """The answer to a command, as text."""
        said = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        self._socket.sendall(b"*%d\r\n%s" % (len(words), said))
        line = self._answers.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind in b"+:" and kind:
            return rest
        if kind == b"$" and rest != b"-1":
            return self._answers.read(int(rest) + 2)[:-2]
        raise RedisError(line.decode(errors="replace") or "it has gone")


@contextmanager
def running_redis(*, durable: bool) -> Iterator[Path]:
    """An empty server, by its socket. `durable`: each answer is on the disk before it is given."""
    if SERVER is None:
        raise SystemExit("there is no redis-server: apt-get install redis-server")
    kept = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
    with tempfile.TemporaryDirectory(prefix="meterhouse-redis-") as folder:
        path = Path(folder) / "socket"
        place = ["--port", "0", "--unixsocket", str(path), "--dir", folder, "--save", ""]
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([SERVER, *place, *kept], stdout=log, stderr=log)
        try:
            began = time.perf_counter()
            while not _answers(path):
                if process.poll() is not None or time.perf_counter() - began > _READY_S:
                    raise SystemExit(f"redis-server does not start: {(Path(folder) / 'log').read_text()}")
                time.sleep(0.02)
            yield path
        finally:
            process.terminate()
            process.wait()


def _answers(path: Path) -> bool:
    try:
        with Connection(path) as redis:
            return redis.ask(b"PING") == b"PONG"
    except (FileNotFoundError, ConnectionRefusedError):
        return False
