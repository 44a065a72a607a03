"""The exports of several shards as one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from io import RawIOBase
from itertools import chain
from typing import Any

from ..domain.export import ExportForm
from ..ports.chunks import Chunks


def joined(exports: Sequence[Chunks], form: ExportForm) -> Chunks:
    """One export after the other; all of them begin at once, so that they are of about one moment."""
    with ExitStack() as cleanup:
        begun = [chain([next(cleanup.enter_context(closing(each)), b"")], each) for each in exports]
        yield from _parquet(begun) if form is ExportForm.PARQUET else chain.from_iterable(begun)


def _parquet(exports: Sequence[Iterator[bytes]]) -> Iterator[bytes]:
    """One file with the row groups of all. Each is on the disk while it is read, because its index is at its end."""
    from pyarrow import parquet  # noqa: PLC0415 - a third of a second that other exports do without

    written = _Written()
    writer = None
    for export in exports:
        with tempfile.TemporaryFile() as file:
            file.writelines(export)
            whole = parquet.ParquetFile(file)
            if writer is None:
                writer = parquet.ParquetWriter(written, whole.schema_arrow)
            for number in range(whole.num_row_groups):
                writer.write_table(whole.read_row_group(number).cast(writer.schema))
                yield written.taken()
    if writer is not None:
        writer.close()
    yield written.taken()


class _Written(RawIOBase):
    """What was written and not taken yet, of a file that is only written on."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._pieces.append(bytes(content))
        self._size += len(content)
        return len(content)

    def tell(self) -> int:
        return self._size

    def taken(self) -> bytes:
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content
