"""Tar archives in memory: a backup's members, and a backup of others."""

from __future__ import annotations

import io
import tarfile


def members(archived: bytes) -> dict[str, bytes]:
    """The content of each file, by name."""
    with tarfile.open(fileobj=io.BytesIO(archived)) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]


def packed(files: dict[str, bytes]) -> bytes:
    """An archive of such files."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()
