"""Every order in which things can happen to a shard of a cluster; and that the check finds what is wrong.

`TEST_DEPTH=deep pytest tests/simulation/test_cluster_protocol.py -s` looks at millions of states, and prints how many.
"""

from __future__ import annotations

import pytest

from simulation.cluster_explorer import explore, stuck
from simulation.cluster_protocol import Protocol
from simulation.cluster_states import Limits
from support.depth import by_depth

AS_DESIGNED = Protocol()
SMALLEST = Limits(commits=1, faults=0)
WITH_A_FAULT = Limits(commits=1)
WITH_ROLLUPS = Limits(commits=1, rollups=True)

# The first four take two seconds, the first eight a minute, all of them twelve minutes and 1.2 GB.
EXPLORED = (
    Limits(commits=2, faults=0),
    Limits(commits=1, faults=0, reads=1),
    Limits(commits=1, faults=0, rollups=True),
    Limits(commits=1, faults=0, crashes=0, epochs=3),
    Limits(commits=2, reads=1),
    Limits(commits=2, faults=0, rollups=True),
    Limits(commits=3, faults=0),
    Limits(commits=1, epochs=3),
    Limits(commits=3, faults=2),
    Limits(commits=3, epochs=3),
    Limits(commits=3, rollups=True),
    Limits(commits=2, rollups=True, reads=1),
    Limits(commits=1, faults=2, epochs=3, rollups=True),
)
# What is left out → the smallest limits that show what it is there for, and what is seen then.
LEFT_OUT = [
    (["epoch_checked_at_commit"], SMALLEST, "would answer without commit"),
    (["journal_read_after_lease"], SMALLEST, "would answer without commit"),
    (["journal_deleted_after_commit"], SMALLEST, "would answer without commit"),
    (["lease_checked_at_read"], SMALLEST, "would answer without commit"),
    (["lease_counted_from_sending"], SMALLEST, "two nodes may answer reads"),
    (["belief_ends_with_lease"], SMALLEST, "two nodes may answer reads"),
    (["batch_written_first"], Limits(commits=2, faults=0), "in the table 2 times"),
    (["tokens"], SMALLEST, "in the table 2 times"),
    (["tokens", "events_moved"], SMALLEST, "in the table 2 times"),
    (["tokens_remembered"], WITH_A_FAULT, "in the table 2 times"),
    (["verified"], WITH_A_FAULT, "was acknowledged and is lost"),
    (["inserts_synced"], WITH_A_FAULT, "was acknowledged and is lost"),
    (["second_attempt_only_after_an_answer"], WITH_A_FAULT, "in the table 2 times"),
    (["count_sees_every_insert"], SMALLEST, "in the table 2 times"),
    (["events_moved_forward_only"], Limits(commits=1, faults=0, crashes=0, epochs=3), "was acknowledged and is lost"),
    (["table_read_up_to_commit"], Limits(commits=1, faults=0, reads=1), "a read shows commit 1 2 times"),
    (["events_moved"], WITH_ROLLUPS, "from rollups"),
    (["ends_when_rollups_do_not_answer"], WITH_ROLLUPS, "reads 2 times commit 1 from rollups"),
    (["ends_when_takeover_does_not_answer"], WITH_ROLLUPS, "from rollups"),
]


@pytest.mark.parametrize("limits", EXPLORED[: by_depth(4, 8, len(EXPLORED))], ids=str)
def test_nothing_acknowledged_is_lost_doubled_or_not_seen(limits: Limits) -> None:
    found = explore(AS_DESIGNED, limits)
    print(f"{limits}: {found.states:,} states, {found.steps:,} steps; in {found.done:,} states all is done")
    assert found.wrong == "", "\n".join([found.wrong, *found.trace])
    assert found.done


@pytest.mark.parametrize(
    ("left_out", "limits", "seen"), LEFT_OUT, ids=lambda each: "-".join(each) if isinstance(each, list) else ""
)
def test_every_rule_is_needed(left_out: list[str], limits: Limits, seen: str) -> None:
    found = explore(Protocol(**dict.fromkeys(left_out, False)), limits)
    assert seen in found.wrong
    assert found.trace


def test_every_rule_is_left_out_once() -> None:
    assert {name for names, _, _ in LEFT_OUT for name in names} == set(Protocol.__dataclass_fields__)


def test_an_owner_can_always_finish() -> None:
    assert stuck(AS_DESIGNED, SMALLEST) == ()


def test_an_owner_whose_table_was_taken_back_cannot() -> None:
    assert stuck(Protocol(events_moved_forward_only=False), SMALLEST)[-1] == "epoch 2 commits 1"
