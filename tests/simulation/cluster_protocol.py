"""The protocol of a shard in a cluster, small enough to look at every order in which things can happen.

Two nodes, one shard, a PostgreSQL and a ClickHouse. A step is a statement that is sent, one that is carried out, or a
fault. A statement that was sent is carried out at any later moment, whatever became of who sent it. `Protocol` says
what is done as designed, and what is left out.

Simplified without losing a behaviour: a commit is acknowledged in the step in which it is carried out, which is the
most that readers can ask for; a process that ends at an answer has ended before it; a renewal that is too late to
prolong what the process believes is as good as none. Time is one bit: in one step it ends the lease and what every
process believes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import add
from typing import TypeAlias

from simulation.cluster_states import (
    At,
    Batch,
    Limits,
    Message,
    Node,
    Process,
    Read,
    State,
    added,
    bit,
    ended,
    inserting,
    newest,
    placed,
    process_of,
    rank,
    ready,
    rolled_up,
    sent,
    watermark,
    with_process,
    without,
)

Step: TypeAlias = tuple[str, State]
"""What happens, and what there is then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """What is done. All of it as designed, unless it says otherwise."""

    epoch_checked_at_commit: bool = True
    journal_read_after_lease: bool = True
    batch_written_first: bool = True
    tokens: bool = True
    tokens_remembered: bool = True
    events_moved: bool = True
    events_moved_forward_only: bool = True
    lease_checked_at_read: bool = True
    lease_counted_from_sending: bool = True
    belief_ends_with_lease: bool = True
    verified: bool = True
    second_attempt_only_after_an_answer: bool = True
    count_sees_every_insert: bool = True
    inserts_synced: bool = True
    table_read_up_to_commit: bool = True
    ends_when_rollups_do_not_answer: bool = True
    ends_when_takeover_does_not_answer: bool = True
    journal_deleted_after_commit: bool = True


class Model:
    """All that can happen, for one protocol within limits."""

    def __init__(self, protocol: Protocol, limits: Limits):
        self._protocol = protocol
        self._limits = limits

    def steps(self, state: State) -> Iterator[Step]:
        """Everything that can happen next."""
        yield from self._time(state)
        yield from self._faults(state)
        yield from self._reads(state)
        for place, node in enumerate(state.nodes):
            if node.process is None:
                yield from self._join(state, place)
            else:
                yield from self._act(state, place, node.process)
                if node.crashes:
                    yield f"epoch {node.process.epoch} crashes", placed(state, place, Node(None, node.crashes - 1))
        for message in dict.fromkeys(state.messages):
            yield from self._carry_out(state, message)

    # Time and faults

    def _time(self, state: State) -> Iterator[Step]:
        nodes = state.nodes
        if self._protocol.belief_ends_with_lease:
            nodes = tuple(Node(each.process and each.process._replace(holds=False), each.crashes) for each in nodes)
        yield "time passes: leases end", state._replace(leased=False, nodes=nodes)

    def _faults(self, state: State) -> Iterator[Step]:
        if not state.faults:
            return
        less = state._replace(faults=state.faults - 1)
        for place, node in enumerate(state.nodes):
            if node.process is not None:
                yield from self._gives_up(less, place, node.process)
        yield from self._clickhouse_crashes(less)

    def _gives_up(self, state: State, place: int, process: Process) -> Iterator[Step]:
        """An answer does not come in time; the statement goes on."""
        if process.at is At.INSERTING and self._protocol.second_attempt_only_after_an_answer:
            yield f"epoch {process.epoch} inserts {process.batch} again", inserting(state, place, process)
        elif process.at is At.INSERTING:
            counting = process._replace(at=At.COUNT)
            yield f"epoch {process.epoch} counts without an answer", with_process(state, place, counting)
        if process.at is At.COPYING and not self._protocol.ends_when_takeover_does_not_answer:
            yield f"epoch {process.epoch} copies again", self._copying(state, place, process)
        rolls = [each for each in state.messages if each.kind == "roll" and each.epoch == process.epoch]
        if rolls and not self._protocol.ends_when_rollups_do_not_answer:
            label = f"epoch {process.epoch} looks for its rollups, and makes them again"
            part = Batch(watermark(state.rollups[process.epoch]) + 1, process.stored, 0)
            yield label, sent(state, Message("roll", process.epoch, part))

    def _clickhouse_crashes(self, state: State) -> Iterator[Step]:
        running = [each for each in state.messages if each.running]
        crashed = state
        if not self._protocol.tokens_remembered and state.tokens:
            yield "ClickHouse forgets its tokens", state._replace(tokens=frozenset())
        for message in running:
            crashed = self._unanswered(without(crashed, message), message)
        if running:
            yield "ClickHouse crashes", crashed
        for message in running:
            if message.kind == "insert" and message.batch not in state.tokens and self._protocol.tokens:
                remembering = crashed._replace(tokens=crashed.tokens | {message.batch})
                yield f"ClickHouse crashes, remembers {message.batch} and has lost it", remembering
        if not self._protocol.inserts_synced and any(state.rows):
            newest_row = max(commit for commit, count in enumerate(state.rows, 1) if count)
            rows = tuple(0 if commit == newest_row else count for commit, count in enumerate(state.rows, 1))
            yield f"ClickHouse crashes and has lost commit {newest_row}", crashed._replace(rows=rows)

    def _unanswered(self, state: State, message: Message) -> State:
        """The connection of a statement is closed: an insert is repeated, rollups end the process."""
        place, process = process_of(state, message.epoch)
        if process is None:
            return state
        if message.kind == "roll":
            return ended(state, message.epoch)
        waits = process.at is At.INSERTING and message not in state.messages
        return inserting(state, place, process) if waits else state

    # Reads

    def _reads(self, state: State) -> Iterator[Step]:
        if state.read is not None:
            yield "a read is answered", state._replace(read=None)
            return
        if not state.reads:
            return
        for node in state.nodes:
            process = node.process
            if process is None or process.at < At.IDLE or not self._may_read(process):
                continue
            if self._protocol.table_read_up_to_commit or process.at is At.IDLE:  # else it waits for its own flush
                read = Read(process.epoch, state.acknowledged, process.stored, process.last)
                yield f"a read begins at epoch {process.epoch}", state._replace(read=read, reads=state.reads - 1)

    def _may_read(self, process: Process) -> bool:
        return process.holds or not self._protocol.lease_checked_at_read

    # What a node does

    def _join(self, state: State, place: int) -> Iterator[Step]:
        if state.leased or state.epoch == self._limits.epochs:
            return
        taken = state._replace(epoch=state.epoch + 1, leased=True)
        process = Process(taken.epoch, At.LOAD, True)
        label = f"a node takes epoch {taken.epoch}"
        if not self._protocol.journal_read_after_lease:
            # What it read just before; the newest commit came in between.
            last = max(newest(state.journal & ~bit(max(newest(state.journal), 1))), state.commit)
            yield label, self._loaded(taken, place, process, last)
        yield label, with_process(taken, place, process)
        late = taken._replace(leased=False)
        yield f"{label}, and hears of it late", with_process(late, place, process._replace(holds=False))

    def _act(self, state: State, place: int, process: Process) -> Iterator[Step]:
        epoch = process.epoch
        if epoch != state.epoch:
            yield f"epoch {epoch} learns that it is over", ended(state, epoch)
        elif not process.holds or not state.leased:
            yield from self._renew(state, place, process)
        pending = {each.kind for each in state.messages if each.epoch == epoch}
        if process.at is At.LOAD:
            loaded = self._loaded(state, place, process, max(newest(state.journal), state.commit))
            yield f"epoch {epoch} loads", loaded
        if process.at < At.IDLE:
            return
        if process.last < self._limits.commits and "commit" not in pending:
            number = process.last + 1
            yield f"epoch {epoch} commits {number}", sent(state, Message("commit", epoch, Batch(number, number, 0)))
        if self._limits.rollups and process.rolled < process.stored and "roll" not in pending:
            part = Batch(process.rolled + 1, process.stored, 0)
            yield f"epoch {epoch} materializes {part}", sent(state, Message("roll", epoch, part))
        if process.at is At.IDLE and process.last > process.stored:
            yield self._write_down(state, place, process, Batch(process.stored + 1, process.last, 1))
        elif process.at is At.COUNT:
            yield from self._count(state, place, process)

    def _renew(self, state: State, place: int, process: Process) -> Iterator[Step]:
        """One that was sent too long ago prolongs the lease, not what the process believes: as if it were not there."""
        label = f"epoch {process.epoch} renews"
        yield label, with_process(state._replace(leased=True), place, process._replace(holds=True))
        if not self._protocol.lease_counted_from_sending:
            over = state._replace(leased=False)
            yield f"{label}, hears of it late", with_process(over, place, process._replace(holds=True))

    def _loaded(self, state: State, place: int, process: Process, last: int) -> State:
        process = process._replace(last=last, stored=state.commit, batch=state.batch)
        if self._protocol.events_moved:
            return self._copying(state, place, process)
        return ready(state, place, process._replace(rolled=watermark(state.rollups[0])))

    def _copying(self, state: State, place: int, process: Process) -> State:
        """Has sent the first statement of a takeover, from where it sees the events."""
        return self._moving(state, place, process, At.COPYING)

    def _moving(self, state: State, place: int, process: Process, at: At = At.MOVING) -> State:
        if state.home > process.epoch and self._protocol.events_moved_forward_only:
            return ended(state, process.epoch)
        first = Message("copy" if at is At.COPYING else "move", process.epoch, Batch(state.home, 0, 0))
        return sent(with_process(state, place, process._replace(at=at)), first)

    def _count(self, state: State, place: int, process: Process) -> Iterator[Step]:
        batch = process.batch
        assert batch is not None
        missing = 0 in {state.rows[commit - 1] for commit in range(batch.first, batch.last + 1)}
        if not missing or not self._protocol.verified:
            kind = "settle" if self._protocol.journal_deleted_after_commit else "delete"
            settling = with_process(state, place, process._replace(at=At.SETTLING))
            yield f"epoch {process.epoch} has {batch}", sent(settling, Message(kind, process.epoch, batch))
        if (missing and self._protocol.verified) or not self._protocol.count_sees_every_insert:
            yield self._write_down(state, place, process, batch._replace(attempt=batch.attempt + 1))

    def _write_down(self, state: State, place: int, process: Process, batch: Batch) -> Step:
        process = process._replace(batch=batch)
        if not self._protocol.batch_written_first:
            return f"epoch {process.epoch} inserts {batch}", inserting(state, place, process)
        noting = with_process(state, place, process._replace(at=At.NOTING))
        return f"epoch {process.epoch} writes down {batch}", sent(noting, Message("note", process.epoch, batch))

    # What the servers do

    def simplest(self, state: State) -> State:
        """The state that stands for all that can go on in the same ways."""
        left = tuple(each for each in state.messages if self._may_change(state, each))
        if len(left) != len(state.messages):
            state = state._replace(messages=left)
        processes = [node.process for node in state.nodes if node.process is not None]
        if state.leased and not any(each.holds for each in processes):
            # Whatever can happen before a lease ends that nobody reads under can happen after it too.
            state = state._replace(leased=False)
        if state.tokens:
            batches = {state.batch, *(each.batch for each in processes), *(each.batch for each in left)}
            if tokens := {each for each in state.tokens if each.last <= state.commit and each not in batches}:
                state = state._replace(tokens=state.tokens - tokens)  # nobody can name them again
        one, other = state.nodes  # they are alike
        return state._replace(nodes=(other, one)) if rank(one) > rank(other) else state

    def _may_change(self, state: State, message: Message) -> bool:
        """Not one of an epoch that is over, or for a table that has been moved."""
        kind, epoch = message.kind, message.epoch
        if kind == "commit":
            return epoch == state.epoch or not self._protocol.epoch_checked_at_commit
        if kind in ("note", "settle"):
            return epoch == state.epoch
        if kind == "insert":
            return message.running or state.home <= epoch
        if kind == "roll" and self._protocol.events_moved:
            return state.rollups[epoch] is not None
        if process_of(state, epoch)[1] is not None:
            return True
        if kind == "delete":
            return bool(state.journal & ((1 << message.batch.last) - 1))
        if kind == "drop":
            return state.home < epoch or any(state.rollups[:epoch])
        return kind not in ("copy", "move") or state.home == message.batch.first

    def _carry_out(self, state: State, message: Message) -> Iterator[Step]:
        place, process = process_of(state, message.epoch)
        rest = without(state, message)
        label = f"{message.kind} of epoch {message.epoch} {tuple(message.batch)}"
        if message.kind in ("commit", "note", "settle", "delete"):
            yield label, self._in_postgresql(rest, message, place, process)
        elif message.kind in ("insert", "roll") and not message.running:
            home = 0 if not self._protocol.events_moved else message.epoch
            found = state.home == home if message.kind == "insert" else state.rollups[home] is not None
            if found:
                yield f"{label} begins", sent(rest, message._replace(running=True))
            else:
                yield f"{label} finds no table", ended(rest, message.epoch)
        elif self._protocol.table_read_up_to_commit or state.read is None or state.read.epoch != message.epoch:
            yield label, self._in_clickhouse(rest, message, place, process)  # else a process holds back its own insert

    def _in_postgresql(self, state: State, message: Message, place: int, process: Process | None) -> State:
        mine = message.epoch == state.epoch
        batch = message.batch
        if message.kind == "commit":
            if not mine and self._protocol.epoch_checked_at_commit:
                return ended(state, message.epoch)
            before = max(newest(state.journal), state.commit)
            if batch.first != before + 1:
                return state._replace(wrong=f"commit {batch.first} comes after {before}")
            done = state._replace(
                journal=state.journal | bit(batch.first),
                # Without the process there is nobody to answer the client.
                acknowledged=state.acknowledged | (bit(batch.first) if process else 0),
            )
            return with_process(done, place, process._replace(last=batch.first)) if process else done
        if message.kind == "delete":
            return self._deleted(state, batch, place, process)
        if not mine:
            return ended(state, message.epoch)
        if message.kind == "note":
            noted = state._replace(batch=batch)
            return inserting(noted, place, process) if process else noted
        settled = state._replace(commit=batch.last, batch=None)
        if process is None:
            return settled
        stored = process._replace(stored=batch.last, batch=None, at=At.DELETING)
        if not self._protocol.journal_deleted_after_commit:
            return with_process(settled, place, stored._replace(at=At.IDLE))
        return sent(with_process(settled, place, stored), Message("delete", message.epoch, batch))

    def _deleted(self, state: State, batch: Batch, place: int, process: Process | None) -> State:
        state = state._replace(journal=state.journal >> batch.last << batch.last)
        if process is None:
            return state
        if not self._protocol.journal_deleted_after_commit:
            return sent(state, Message("settle", process.epoch, batch))
        return with_process(state, place, process._replace(at=At.IDLE)) if process.at is At.DELETING else state

    def _in_clickhouse(self, state: State, message: Message, place: int, process: Process | None) -> State:
        epoch, batch = message.epoch, message.batch
        if message.kind == "insert":
            if not self._protocol.tokens or batch not in state.tokens:
                tokens = state.tokens | {batch} if self._protocol.tokens else state.tokens
                state = state._replace(rows=added(state.rows, batch), tokens=tokens)
            waits = process is not None and process.at is At.INSERTING and process.batch == batch
            return with_process(state, place, process._replace(at=At.COUNT)) if process and waits else state
        if message.kind == "roll":
            home = epoch if self._protocol.events_moved else 0
            counts = state.rollups[home]
            if counts is not None:  # else it was dropped while it ran
                state = rolled_up(state, home, added(counts, batch))
            if process is None:
                return state
            return with_process(state, place, process._replace(rolled=max(batch.last, process.rolled)))
        if message.kind == "drop":
            rollups = tuple(None if older < epoch else counts for older, counts in enumerate(state.rollups))
            rows = (0,) * len(state.rows) if state.home < epoch else state.rows
            dropped = state._replace(rollups=rollups, rows=rows)
            return ready(dropped, place, process) if process else dropped
        if message.kind == "copy":
            waits = process is not None and process.at is At.COPYING
            copied = state.rollups[batch.first]
            if copied is not None:
                there = state.rollups[epoch] or (0,) * len(copied)
                state = rolled_up(state, epoch, tuple(map(add, copied, there)))
            if process is None or not waits:
                return state
            if copied is None:  # another one has moved the events meanwhile, and dropped what was older
                return self._copying(state, place, process)
            return self._moving(state, place, process._replace(rolled=watermark(copied)))
        if state.home == batch.first and state.rollups[epoch] is not None:
            state = state._replace(home=epoch)
            dropping = process and sent(state, Message("drop", epoch))
            return with_process(dropping, place, process._replace(at=At.DROPPING)) if process and dropping else state
        # It is not where it was seen: the move of another one came late.
        return self._moving(state, place, process) if process else state

    # What must hold

    def broken(self, state: State) -> str:
        """What is wrong with a state; empty when nothing is."""
        if state.wrong:
            return state.wrong
        for commit, count in enumerate(state.rows, 1):
            if count > 1:
                return f"commit {commit} is in the table {count} times"
            known = state.acknowledged & bit(commit)
            if known and not count and (commit <= state.commit or not state.journal & bit(commit)):
                return f"commit {commit} was acknowledged and is lost"
            if commit <= state.commit and not count:
                return f"commit {commit} is not in the table, which should have it"
        holders = [node.process for node in state.nodes if node.process is not None and node.process.holds]
        if len(holders) > 1 and self._protocol.lease_checked_at_read:
            return "two nodes may answer reads"
        for node in state.nodes:
            if wrong := node.process and self._misread(state, node.process):
                return wrong
        return self._misanswered(state, state.read) if state.read else ""

    def _misread(self, state: State, process: Process) -> str:
        if process.at < At.IDLE or not self._may_read(process):
            return ""
        if newest(state.acknowledged) > process.last:
            return f"epoch {process.epoch} would answer without commit {newest(state.acknowledged)}"
        counts = state.rollups[process.epoch if self._protocol.events_moved else 0]
        for commit, count in enumerate(counts or (), 1):
            if count != (commit <= process.rolled):
                return f"epoch {process.epoch} reads {count} times commit {commit} from rollups up to {process.rolled}"
        return ""

    def _misanswered(self, state: State, read: Read) -> str:
        for commit, count in enumerate(state.rows, 1):
            bounded = self._protocol.table_read_up_to_commit and commit > read.stored
            seen = (0 if bounded else count) + (read.stored < commit <= read.last)
            if seen > 1 or (not seen and read.acknowledged & bit(commit)):
                return f"a read shows commit {commit} {seen} times"
        return ""

    def is_done(self, state: State) -> bool:
        """Whether the owner waits, nothing is under way, and the table has all."""
        owner = process_of(state, state.epoch)[1]
        done = owner is not None and owner.at is At.IDLE and owner.stored == owner.last and not state.messages
        return done and all(
            count == 1 for commit, count in enumerate(state.rows, 1) if state.acknowledged & bit(commit)
        )

    def may_go_on(self, state: State) -> bool:
        """Whether there is an owner, or may be one."""
        return process_of(state, state.epoch)[1] is not None or state.epoch < self._limits.epochs
