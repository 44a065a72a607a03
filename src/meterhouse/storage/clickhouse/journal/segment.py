"""One file of the journal: records of commits, each of which is durable before its commit is answered."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import xxhash

from ... import durable

_MAGIC = b"MHJRNL3\n"
_SALT_BYTES = 16
_FILE_HEAD = struct.Struct(f"<8s{_SALT_BYTES}sQ")
"""The magic, the salt that all records of the file carry, and the checksum of both."""
_HEAD = struct.Struct(f"<{_SALT_BYTES}sQQQQQ")
"""The salt, the commit, how many events it has, how long its block is, the block's checksum, and that of all these."""
_CHECKSUM_BYTES = 8
_SECTOR = 512


class Record(NamedTuple):
    """A commit on its way into the table of events."""

    commit: int
    events: int
    block: bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A place of a segment that was written whole and cannot be read any more."""

    path: Path
    offset: int
    after: int
    """The commit before it in the file, 0 for none."""
    before: int
    """The next commit that can be read, 0 for none."""

    def may_lack(self, stored: int) -> bool:
        """Whether a commit after that one may be lost in it: a segment holds commits in their order."""
        return not 0 < self.before <= stored + 1

    def __str__(self) -> str:
        """A sentence for the operator."""
        between = f"after commit {self.after}" if self.after else "at its beginning"
        sound = f"; the commits from {self.before} on are sound" if self.before else ""
        return f"{self.path} is damaged {between} (byte {self.offset}){sound}"


class Segment:
    """A file of records. The last one may be cut short by a crash: it was never acknowledged then. Raises `OSError`."""

    def __init__(self, path: Path):
        """Makes the file when there is none, or only its head was not finished."""
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._file).st_size
        self._torn = False
        self._salt = self._read_salt()
        if self._salt is None and self.size <= _FILE_HEAD.size:
            self._begin()

    def _read_salt(self) -> bytes | None:
        head = os.pread(self._file, _FILE_HEAD.size, 0)
        if len(head) < _FILE_HEAD.size or _FILE_HEAD.unpack(head)[2] != _checksum(head[:-_CHECKSUM_BYTES]):
            return None
        return bytes(_FILE_HEAD.unpack(head)[1])

    def _begin(self) -> None:
        # The salt is random: a client that knew it could send what looks like a record.
        self._salt = os.urandom(_SALT_BYTES)
        start = _MAGIC + self._salt
        _write(self._file, start + _checksum(start).to_bytes(_CHECKSUM_BYTES, "little"), 0)
        os.fsync(self._file)
        self.size = _FILE_HEAD.size

    def read(self) -> tuple[list[Record], list[Damage]]:
        """The records that are sound, in their order, and where the file is damaged between or before them."""
        content = os.pread(self._file, self.size, 0)
        if self._salt is None:
            return [], [Damage(self.path, 0, 0, 0)]
        records: list[Record] = []
        damages: list[Damage] = []
        begin = _FILE_HEAD.size
        while begin < len(content):
            if (record := self._record(content, begin)) is not None:
                records.append(record)
                begin += _HEAD.size + len(record.block)
                continue
            following = self._next_sound(content, begin + 1)
            if following is None and self._is_cut_short(content, begin):
                break
            after = records[-1].commit if records else 0
            sound = self._record(content, following) if following is not None else None
            damages.append(Damage(self.path, begin, after, sound.commit if sound else 0))
            if following is None:
                break
            begin = following
        return records, damages

    def _record(self, content: bytes, begin: int) -> Record | None:
        """The record that begins there; None when it is not sound."""
        if (head := self._head(content, begin)) is None:
            return None
        commit, events, length, checksum = head
        block = content[begin + _HEAD.size : begin + _HEAD.size + length]
        return Record(commit, events, block) if len(block) == length and _checksum(block) == checksum else None

    def _head(self, content: bytes, begin: int) -> tuple[int, int, int, int] | None:
        if len(content) - begin < _HEAD.size:
            return None
        salt, commit, events, length, of_block, of_head = _HEAD.unpack_from(content, begin)
        sound = salt == self._salt and of_head == _checksum(content[begin : begin + _HEAD.size - _CHECKSUM_BYTES])
        return (commit, events, length, of_block) if sound else None

    def _next_sound(self, content: bytes, begin: int) -> int | None:
        assert self._salt is not None  # without it nothing is read
        while (begin := content.find(self._salt, begin)) >= 0:
            if self._record(content, begin) is not None:
                return begin
            begin += 1
        return None

    def _is_cut_short(self, content: bytes, begin: int) -> bool:
        """Whether a record at the end was never written to its own end: what is missing is absent, or zeros."""
        if len(content) - begin < _HEAD.size:
            return True
        if (head := self._head(content, begin)) is None:
            end = begin + _HEAD.size
            sectors = pairwise([begin, *range(begin - begin % _SECTOR + _SECTOR, end, _SECTOR), end])
            return any(not any(content[first:last]) for first, last in sectors)
        block = begin + _HEAD.size
        return block + head[2] > len(content) or not any(content[max(block, len(content) - _SECTOR) :])

    def append(self, record: Record) -> None:
        """On the disk when it returns. When it raises, the record may be there until the next call of any method."""
        self.truncate_torn_tail()
        assert self._salt is not None  # the journal does not write to a file that it cannot read
        head = self._salt + struct.pack(
            "<QQQQ", record.commit, record.events, len(record.block), _checksum(record.block)
        )
        head += _checksum(head).to_bytes(_CHECKSUM_BYTES, "little")
        self._torn = True
        _write(self._file, head + record.block, self.size)
        durable.sync_file(self._file)
        self._torn = False
        self.size += len(head) + len(record.block)

    def truncate_torn_tail(self) -> None:
        """Takes back what was not appended to its end."""
        if self._torn:
            self._cut(self.size)
            self._torn = False

    def empty(self) -> None:
        """Removes all records; for good when it returns."""
        if self.size > _FILE_HEAD.size or self._torn:
            self._cut(_FILE_HEAD.size)
            self.size, self._torn = _FILE_HEAD.size, False

    def _cut(self, size: int) -> None:
        os.ftruncate(self._file, size)
        durable.sync_file(self._file)

    def close(self) -> None:
        """Leaves the records where they are."""
        os.close(self._file)


def _checksum(content: bytes) -> int:
    return xxhash.xxh3_64_intdigest(content)


def _write(file: int, content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written
