"""Tar streams: written and read piece by piece, with the checksum of each file."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import IO

import msgspec

CHUNK_BYTES = 1 << 20


class Entry(msgspec.Struct, frozen=True):
    """A file of a backup."""

    size: int
    sha256: str


class Pieces:
    """A stream as `tarfile` reads one."""

    def __init__(self, chunks: Iterable[bytes]):
        self._chunks = filter(None, chunks)

    def read(self, _size: int = 0, /) -> bytes:
        """The next piece, however long it is; nothing after the last."""
        return next(self._chunks, b"")


def packed(name: str, path: Path) -> Generator[bytes, None, Entry]:
    """A file as tar has it."""
    with path.open("rb") as file:
        return (yield from packed_content(name, path.stat().st_size, file))


def packed_content(name: str, size: int, content: IO[bytes]) -> Generator[bytes, None, Entry]:
    """What a file has, as tar has it."""
    yield _header(name, size)
    digest = hashlib.sha256()
    while chunk := content.read(CHUNK_BYTES):
        digest.update(chunk)
        yield chunk
    yield _padding(size)
    return Entry(size, digest.hexdigest())


def packed_text(name: str, text: bytes) -> bytes:
    """A small file as tar has it."""
    return _header(name, len(text)) + text + _padding(len(text))


def end() -> bytes:
    """How a tar ends."""
    return bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
