"""Files that commands read and write; `-` stands for standard input or output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import Parameter

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
    """Opens it for reading. Raises `Failed`."""
    if file == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(Path(file).open("rb"))
    except OSError as wrong:
        raise Failed(f"{file} cannot be read: {wrong.strerror}") from None
