"""What a data folder must hold: written down beside the events, so that a start can notice what is missing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from ..domain.errors import FolderError
from ..domain.loss import Loss
from .durable import sync_file, sync_folder

_SLOT_BYTES = 64 * 1024
_HEAD_BYTES = 16
"""The length of the content and its checksum, before it."""
_MOST_LOSSES = 20


class NothingTells(FolderError):
    """Nobody can tell what the folder must hold."""

    def __init__(self, wrong: str):
        super().__init__(
            f"{wrong}, so that nothing tells what the folder must hold: restore a backup, or let `meterhouse repair` "
            "take what is there"
        )


class Removal(msgspec.Struct, frozen=True):
    """The purge of an organization that has begun: the engine may have done any part of it."""

    namespace: str
    organization: str
    commit: int
    """Events up to this commit are removed."""
    events: int
    """How many they were when it began."""


class Batch(msgspec.Struct, frozen=True):
    """Commits that go to a server together: the same ones under the same token, whoever repeats it."""

    first: int
    last: int
    attempt: int = 1
    """Grows when the server has lost what it had taken under a token."""


class RollupParts(msgspec.Struct, frozen=True):
    """Which of the rows that were ever put into a table of rollups its parts must cover, however they are merged."""

    table: str
    """Tells the table from others of the same name."""
    blocks: list[tuple[int, int]]
    """First and last block numbers, in order, without overlaps."""


class State(msgspec.Struct, frozen=True):
    """What the folder held when it was written."""

    sequence: int = 0
    """Grows with each time it is written."""
    commit: int | None = 0
    """Commits up to this one are in the table of events; None when nobody has counted them yet."""
    events: int = 0
    """How many events they have."""
    turn: int | None = 0
    """Grows with each start and stop, and stands in the ledger too: events and a ledger of different turns do not
    belong together. None where the next start is to take the ledger as it is: after a restore."""
    next_turn: int | None = None
    """The turn that is being written to the ledger."""
    stopped: bool = True
    """The journal was empty, and nobody has written since."""
    rollups: RollupParts | None = None
    """None while nobody can tell: they are made anew then."""
    rewriting: bool = False
    """An erasure has begun; rollups may have what it removes."""
    removal: Removal | None = None
    losses: list[Loss] = []
    batch: Batch | None = None
    """What is being inserted, where the table of events is on a server."""


def losses_of(states: Iterable[State]) -> list[Loss]:
    """Those of several folders together, each once, in their order."""
    once = dict.fromkeys(loss for state in states for loss in state.losses)
    return sorted(once, key=lambda loss: loss.at)[-_MOST_LOSSES:]


class Manifest:
    """The manifest of one table of events. May be used from many threads."""

    def __init__(self, state: State, write: Callable[[State], None]):
        """`write` makes a state last; it is on the disk when it returns. What it raises, every change raises."""
        self._lock = threading.Lock()
        self._state = state
        self._write = write

    @property
    def state(self) -> State:
        """What was written last."""
        return self._state

    def change(self, changed: Callable[[State], State]) -> None:
        """Writes what the state becomes; on the disk when it returns. Raises `OSError`; nothing has changed then."""
        with self._lock:
            state = msgspec.structs.replace(changed(self._state), sequence=self._state.sequence + 1)
            self._write(state)
            self._state = state

    def update(self, **fields: Any) -> None:
        """Writes other values of some fields. Raises `OSError`."""
        self.change(lambda state: msgspec.structs.replace(state, **fields))

    def stored(self, commit: int, events: int) -> None:
        """Writes that the commits up to one are in the table, with so many more events. Raises `OSError`."""
        self.change(lambda state: msgspec.structs.replace(state, commit=commit, events=state.events + events))

    def hold_to(self, events: int) -> None:
        """Raises `FolderError` unless so many events are what there must be."""
        if events != self._state.events:
            raise FolderError(
                f"there are {events:,} events, and there must be {self._state.events:,}: stop the server, and run "
                "`meterhouse repair`"
            )

    def lost(self, loss: Loss, *, commit: int, events: int) -> None:
        """Writes what was lost, and what is there. Raises `OSError`."""
        losses = [*self._state.losses, loss][-_MOST_LOSSES:]
        self.update(losses=losses, commit=commit, events=events, removal=None, stopped=True, turn=None)


def create_manifest(path: Path, state: State) -> Manifest:
    """A new one in a file, on the disk with its name when it returns. Raises `OSError`."""
    path.touch(mode=0o600)
    os.truncate(path, 2 * _SLOT_BYTES)
    manifest = manifest_in(path, state)
    manifest.update()
    sync_folder(path.parent)
    return manifest


def read_manifest(path: Path) -> Manifest:
    """The one in a file. Raises `FolderError` when neither slot is whole, and `OSError`."""
    with path.open("rb") as file:
        slots = [_decode(file.read(_SLOT_BYTES)) for _ in range(2)]
    whole = [state for state in slots if state is not None]
    if not whole:
        raise NothingTells(f"{path} is damaged")
    return manifest_in(path, max(whole, key=lambda state: state.sequence))


def manifest_in(path: Path, state: State) -> Manifest:
    """One whose changes go to a file. Two slots take turns: a crash while one is written leaves the other."""
    return Manifest(state, partial(_write_slot, path))


def _write_slot(path: Path, state: State) -> None:
    content = encode_state(state)
    slot = _head(content) + content
    if len(slot) > _SLOT_BYTES:
        raise OSError(f"{path} would have {len(slot)} bytes, and {_SLOT_BYTES} is the most")
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(file, slot, state.sequence % 2 * _SLOT_BYTES)
        sync_file(file)
    finally:
        os.close(file)


def encode_state(state: State) -> bytes:
    """A state as it is kept."""
    return msgspec.json.encode(state)


def decode_state(content: bytes) -> State:
    """A state that was kept. Raises `msgspec.MsgspecError`."""
    return msgspec.json.decode(content, type=State)


def _head(content: bytes) -> bytes:
    return len(content).to_bytes(8, "little") + xxhash.xxh3_64_intdigest(content).to_bytes(8, "little")


def _decode(slot: bytes) -> State | None:
    length = int.from_bytes(slot[:8], "little")
    content = slot[_HEAD_BYTES : _HEAD_BYTES + length]
    if len(slot) < _HEAD_BYTES or slot[:_HEAD_BYTES] != _head(content):
        return None
    try:
        return decode_state(content)
    except msgspec.MsgspecError:
        return None
