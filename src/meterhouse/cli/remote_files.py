"""Files that are somewhere else: what fsspec opens, like `s3://`, `gs://` and `https://`.

A name may have secrets in it, like a signed address or a password: they are in no message.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from io import BufferedReader, RawIOBase
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from .terminal import Failed

_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
"""Scheme → the package that fsspec needs for it."""
_ADDRESS = re.compile(r"(\w+://)(?:[^/\s'\"]*@)?([^\s?#'\"]*)[^\s'\"]*")


def is_remote(file: str) -> bool:
    """Whether it is named by an address, not by a path."""
    return "://" in file


def name_of(file: str) -> str:
    """What it is called where it is, without folders."""
    return PurePosixPath(unquote(urlsplit(file).path)).name or without_secrets(file)


def without_secrets(text: str) -> str:
    """A text whose addresses have no passwords and no parameters."""
    return _ADDRESS.sub(r"\1\2", text)


def open_remote(address: str, stack: ExitStack) -> BinaryIO:
    """Opens it for being read once, from its beginning to its end. Raises `Failed`."""
    shown, scheme = without_secrets(address), address.partition("://")[0]
    try:
        import fsspec  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    except ImportError:
        raise Failed(f"{shown} needs fsspec: pip install 'meterhouse[files]'") from None
    # One request for all of it: a file that changes between two would be neither of both.
    options: dict[str, Any] = {"block_size": 0} if scheme in ("http", "https") else {}
    try:
        stream = stack.enter_context(fsspec.open(address, "rb", **options))
    except ImportError:
        package = _PACKAGES.get(scheme, f"fsspec's package for {scheme}://")
        raise Failed(f"{shown} needs {package} besides fsspec: pip install {package} 'meterhouse[files]'") from None
    except FileNotFoundError:
        raise Failed(
            f"{shown} cannot be read: look whether it is there, whether it may be read, and whether anything answers"
        ) from None
    except Exception as wrong:  # noqa: BLE001 - each kind of storage has errors of its own
        raise Failed(f"{shown} cannot be read: {_told(wrong)}") from None
    return BufferedReader(cast("RawIOBase", _Forward(stream, shown)), 1 << 20)


class _Forward(RawIOBase):
    """A remote file that is read once, and never from the middle."""

    def __init__(self, stream: Any, shown: str):
        self._stream = stream
        self._shown = shown

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._stream.read(len(buffer))
        except Exception as wrong:  # noqa: BLE001 - see above
            raise Failed(f"{self._shown} broke off: {_told(wrong)}; ingest it again") from None
        buffer[: len(content)] = content
        return len(content)


def _told(wrong: Exception) -> str:
    return without_secrets(str(wrong)) or type(wrong).__name__
