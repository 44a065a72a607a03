"""Moving events from stores into others, by way of files: exactly, and with little memory however many they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ....domain.quantity import units
from ..engine import native
from ..engine.engine import NO_PARAMETERS, EmbeddedEngine, Engine
from . import moving_queries

_AT_ONCE = 100_000
_MODULUS = 1 << 64
_COMMIT = np.dtype([("store", "<u4"), ("commit", "<u8")])

_pair = msgspec.json.Decoder(tuple[str, str])


class Content(NamedTuple):
    """How many events there are, and sums of all that they say."""

    events: int = 0
    said: int = 0
    numbers: int = 0
    corrected: int = 0

    @classmethod
    def of(cls, engine: Engine) -> Content:
        """Of the table of events, without records of retention."""
        [row] = engine.rows(moving_queries.CONTENT, NO_PARAMETERS)
        return cls(*row)

    def __add__(self, other: Content) -> Content:  # type: ignore[override]
        """Of both together."""
        return Content(*((mine + its) % _MODULUS for mine, its in zip(self, other, strict=True)))


def organizations(engine: Engine) -> Iterator[tuple[str, str]]:
    """Every organization that has events, after its namespace."""
    left = b""
    for chunk in engine.stream(moving_queries.ORGANIZATIONS, NO_PARAMETERS, "JSONCompactEachRow"):
        *lines, left = (left + chunk).split(b"\n")
        yield from map(_pair.decode, lines)


def write_homes(engine: Engine, shard_of: Callable[[str, str], int], path: Path) -> None:
    """Writes a file with the shard that each organization is to live in. Raises `OSError` and `EngineError`."""
    found = organizations(engine)
    with path.open("wb") as file:
        while True:
            pairs = [*islice(found, _AT_ONCE)]
            columns = [
                ("namespace", "String", native.encode_repeated_strings([namespace for namespace, _ in pairs])),
                ("organization", "String", native.encode_strings([each.encode() for _, each in pairs])),
                ("shard", "UInt32", native.numbers("I", [shard_of(*pair) for pair in pairs])),
            ]
            file.write(native.encode_block(len(pairs), columns))
            if not pairs:
                return


def write_out(engine: EmbeddedEngine, homes: Path, shard: int, file: Path) -> None:
    """Writes the events of those who are to live in a shard, and all records of retention. Raises `OSError` and
    `EngineError`."""
    with homes.open("rb") as living, file.open("wb") as written:
        files = {"homes": _name(living), "file": _name(written)}
        engine.execute(moving_queries.WRITE_OUT, {**files, "shard": shard})


def number_commits(scratch: EmbeddedEngine, files: Mapping[int, Path], numbers: Mapping[int, Path]) -> None:
    """Numbers the commits of files, each of one store, in the order in which they were known, and writes the numbers
    of each into another file. `scratch` is an engine without tables. Raises `OSError` and `EngineError`."""
    scratch.execute(moving_queries.CREATE_COMMITS)
    for store, path in files.items():
        with path.open("rb") as file:
            scratch.execute(moving_queries.TAKE_COMMITS, {"file": _name(file), "store": store})
    first = 1
    with ExitStack() as stack:
        written = {store: stack.enter_context(path.open("wb")) for store, path in numbers.items()}
        for commits in _in_order(scratch):
            given = np.arange(first, first + len(commits), dtype="<u8")
            for store, output in written.items():
                of_store = commits["store"] == store
                output.write(_numbers_block(commits["commit"][of_store], given[of_store]))
            first += len(commits)


def _in_order(engine: Engine) -> Iterator[npt.NDArray[np.void]]:
    """The commits of all stores, many at a time."""
    read = bytearray()
    for chunk in engine.stream(moving_queries.COMMITS_IN_ORDER, NO_PARAMETERS, "RowBinary"):
        read += chunk
        if len(read) >= _AT_ONCE * _COMMIT.itemsize:
            whole = len(read) - len(read) % _COMMIT.itemsize
            yield np.frombuffer(bytes(read[:whole]), dtype=_COMMIT)
            del read[:whole]
    yield np.frombuffer(bytes(read), dtype=_COMMIT)


def _numbers_block(commits: npt.NDArray[np.uint64], numbers: npt.NDArray[np.uint64]) -> bytes:
    columns = [
        ("commit", "UInt64", commits.tobytes()),
        ("number", "UInt64", numbers.tobytes()),
        ("units", "Decimal(76, 28)", native.decimals(map(units, numbers.tolist()))),
    ]
    return native.encode_block(len(commits), columns)


def take_in(engine: EmbeddedEngine, path: Path) -> None:
    """Puts the events of a file into the table, in their commits. Raises `OSError` and `EngineError`."""
    with path.open("rb") as file:
        engine.execute(moving_queries.TAKE_IN, {"file": _name(file)})


def take_in_numbered(engine: EmbeddedEngine, path: Path, numbers: Path) -> None:
    """Puts the events of a file into the table, in the commits that are numbered anew. Raises `OSError` and
    `EngineError`."""
    names = {"file": path, "corrections": path, "numbers": numbers, "again": numbers}
    with ExitStack() as stack:
        files = {name: _name(stack.enter_context(place.open("rb"))) for name, place in names.items()}
        engine.execute(moving_queries.TAKE_IN_NUMBERED, files)
    engine.release_memory()  # of what was joined


def _name(file: IO[bytes]) -> str:
    """A name that the engine takes as it is: in a path it would find patterns."""
    return f"/dev/fd/{file.fileno()}"
