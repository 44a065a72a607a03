"""What commits have changed that nobody has looked at yet."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meterhouse.ports.commit_log import Changed
from meterhouse.storage.clickhouse.memtable.unseen_changes import UnseenChanges

NOTHING = Changed(frozenset(), corrected=False)


def test_nothing_is_remembered_before_somebody_follows() -> None:
    changes = UnseenChanges()
    changes.record([("shop", "acme")], 1)
    changes.record_correction(1)
    changes.follow()
    assert changes.take(1) == NOTHING


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=40))
def test_whatever_is_recorded_is_taken_at_or_after_its_commit(steps: list[tuple[int, bool, bool]]) -> None:
    """A commit is recorded before it is finished: who takes up to an earlier one must not be the last to see it."""
    changes = UnseenChanges()
    changes.follow()
    open_organizations: dict[str, int] = {}
    open_corrections: list[int] = []
    finished = 0
    for commit, (number, corrects, finishes) in enumerate(steps, 1):
        name = f"o-{number}"
        if corrects:
            changes.record_correction(commit)
            open_corrections.append(commit)
        changes.record([("shop", name)], commit)
        open_organizations[name] = commit
        finished = commit if finishes else finished
        taken = changes.take(finished)
        owed = {each for each, last in open_organizations.items() if last <= finished}
        assert owed <= {each for _, each in taken.organizations} <= {*open_organizations}
        assert taken.corrected == any(each <= finished for each in open_corrections)
        open_organizations = {each: last for each, last in open_organizations.items() if last > finished}
        open_corrections = [each for each in open_corrections if each > finished]
    assert {each for _, each in changes.take(len(steps)).organizations} == {*open_organizations}
    assert changes.take(len(steps)) == NOTHING
