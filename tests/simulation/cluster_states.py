"""The states of the model of a shard in a cluster: everything that there is at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class At(IntEnum):
    """What a process does next, or waits for: first the takeover, then what a flush does in turn."""

    LOAD, COPYING, MOVING, DROPPING = range(4)
    IDLE, NOTING, INSERTING, COUNT, SETTLING, DELETING = range(10, 16)


class Batch(NamedTuple):
    """Commits that are inserted as one; with the attempt, what its token says."""

    first: int
    last: int
    attempt: int


class Process(NamedTuple):
    """What a shard's process has in memory."""

    epoch: int
    at: At
    holds: bool
    """Whether its own clock says that it may answer reads."""
    last: int = 0
    """The newest commit in its memory."""
    stored: int = 0
    """The commit up to which it reads the table of events, and after which it reads its memory."""
    batch: Batch | None = None
    rolled: int = 0
    """The commit up to which it reads rollups."""


class Node(NamedTuple):
    """A node, which may have a process of the shard."""

    process: Process | None
    crashes: int
    """How often it may still end at once."""


class Message(NamedTuple):
    """A statement under way. One that is `running` has found its table, and stays with it wherever that is moved."""

    kind: str
    epoch: int
    batch: Batch = Batch(0, 0, 0)
    running: bool = False


class Read(NamedTuple):
    """A request that is being answered: what it has to show, and what it took from memory."""

    epoch: int
    acknowledged: int
    stored: int
    last: int


class State(NamedTuple):
    """Everything there is. Sets of commits are bits."""

    nodes: tuple[Node, ...]
    faults: int
    epoch: int = 0
    leased: bool = False
    journal: int = 0
    commit: int = 0
    batch: Batch | None = None
    home: int = 0
    """The epoch whose database has the table of events."""
    rows: tuple[int, ...] = ()
    """How often each commit is in the table of events."""
    tokens: frozenset[Batch] = frozenset()
    rollups: tuple[tuple[int, ...] | None, ...] = ()
    """By epoch: how often each commit is in that database's rollups; None where there is no database."""
    messages: tuple[Message, ...] = ()
    acknowledged: int = 0
    read: Read | None = None
    reads: int = 0
    wrong: str = ""
    """What a step has done that must never happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of everything happens."""

    commits: int = 2
    epochs: int = 2
    crashes: int = 1
    faults: int = 1
    """Answers that do not come in time, and crashes of ClickHouse."""
    reads: int = 0
    rollups: bool = False

    def start(self) -> State:
        """Nobody has the shard; its table is in a database of epoch 0."""
        return State(
            nodes=(Node(None, self.crashes),) * 2,
            faults=self.faults,
            rows=(0,) * self.commits,
            rollups=((0,) * self.commits, *(None,) * self.epochs),
            reads=self.reads,
        )


def bit(commit: int) -> int:
    return 1 << (commit - 1)


def newest(commits: int) -> int:
    return commits.bit_length()


def covers(batch: Batch, commit: int) -> bool:
    return batch.first <= commit <= batch.last


def added(counts: tuple[int, ...], batch: Batch) -> tuple[int, ...]:
    return tuple(count + covers(batch, commit) for commit, count in enumerate(counts, 1))


def watermark(counts: tuple[int, ...] | None) -> int:
    return max((commit for commit, count in enumerate(counts or (), 1) if count), default=0)


def process_of(state: State, epoch: int) -> tuple[int, Process | None]:
    for place, node in enumerate(state.nodes):
        if node.process is not None and node.process.epoch == epoch:
            return place, node.process
    return 0, None


def placed(state: State, place: int, node: Node) -> State:
    nodes = state.nodes
    return state._replace(nodes=(node, nodes[1]) if place == 0 else (nodes[0], node))


def with_process(state: State, place: int, process: Process) -> State:
    return placed(state, place, Node(process, state.nodes[place].crashes))


def inserting(state: State, place: int, process: Process) -> State:
    assert process.batch is not None
    insert = Message("insert", process.epoch, process.batch)
    return sent(with_process(state, place, process._replace(at=At.INSERTING)), insert)


def ready(state: State, place: int, process: Process) -> State:
    """Has taken over; a batch that was under way is finished first."""
    return (
        inserting(state, place, process) if process.batch else with_process(state, place, process._replace(at=At.IDLE))
    )


def ended(state: State, epoch: int) -> State:
    """The process of an epoch, if there is one, has learned that it is not the owner any more."""
    place, process = process_of(state, epoch)
    return placed(state, place, Node(None, state.nodes[place].crashes)) if process else state


def sent(state: State, message: Message) -> State:
    return state._replace(messages=tuple(sorted((*state.messages, message))))


def without(state: State, message: Message) -> State:
    left = list(state.messages)
    left.remove(message)
    return state._replace(messages=tuple(left))


def rolled_up(state: State, epoch: int, counts: tuple[int, ...]) -> State:
    return state._replace(rollups=tuple(counts if at == epoch else each for at, each in enumerate(state.rollups)))


def rank(node: Node) -> tuple[int, int]:
    return (node.process.epoch if node.process else 1_000, node.crashes)
