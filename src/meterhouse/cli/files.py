"""Files that commands read and write; `-` stands for standard input or output."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Annotated, BinaryIO, cast

from cyclopts import Parameter

from .remote_files import is_remote, open_remote
from .terminal import Failed

File = Annotated[str, Parameter(allow_leading_hyphen=True)]


def keep(file: str, chunks: Iterator[bytes]) -> int:
    """Writes what comes to standard output, or to a new file that is there when all of it is; answers its size. Raises
    `Failed`."""
    try:
        return _write(sys.stdout.buffer, chunks) if file == "-" else _write_new(Path(file), chunks)
    except OSError as wrong:
        raise Failed(f"{file} cannot be written: {wrong.strerror}") from None


def _write_new(path: Path, chunks: Iterator[bytes]) -> int:
    if path.exists():
        raise Failed(f"{path} is there already: name another file, or remove it")
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Failed(f"{unfinished} is there already: remove it, unless somebody is writing it") from None
    try:
        with os.fdopen(handle, "wb") as stream:
            size = _write(stream, chunks)
            os.fsync(stream.fileno())
        unfinished.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)  # the name has to last as well
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return size


def _write(stream: BinaryIO, chunks: Iterator[bytes]) -> int:
    size = 0
    for chunk in chunks:
        size += stream.write(chunk)
    stream.flush()
    return size


def open_file(file: str, stack: ExitStack) -> BinaryIO:
    """Opens it for reading; what has `://` in it is opened where it says. Raises `Failed`."""
    if file == "-":
        return sys.stdin.buffer
    if is_remote(file):
        return open_remote(file, stack)
    try:
        return stack.enter_context(Path(file).open("rb"))
    except OSError as wrong:
        raise Failed(f"{file} cannot be read: {wrong.strerror}") from None


def unpacked(stream: BinaryIO, stack: ExitStack) -> BufferedReader:
    """What a gzip file holds, read while it is unpacked; any other file as it is."""
    buffered = stream if isinstance(stream, BufferedReader) else BufferedReader(cast("RawIOBase", stream))
    if buffered.peek(2)[:2] != _GZIP:
        return buffered
    kind = gzip.GzipFile if buffered.seekable() else _PipedGzip
    return BufferedReader(cast("RawIOBase", stack.enter_context(kind(fileobj=buffered))))


class _PipedGzip(gzip.GzipFile):
    """One that cannot go back, because what it reads cannot."""

    def seekable(self) -> bool:
        return False


def rereadable(stream: BufferedReader, stack: ExitStack) -> BufferedReader:
    """The same content at its beginning, from which it can be read twice: standard input, and what comes over a
    network, is copied to a file."""
    if stream.seekable():
        return stream
    copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    shutil.copyfileobj(stream, copy)
    copy.seek(0)
    return cast("BufferedReader", copy)


def digest(stream: BufferedReader) -> str:
    """A hash of the content, which is then at its beginning again."""
    found = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
    stream.seek(0)
    return found


_GZIP = b"\x1f\x8b"
