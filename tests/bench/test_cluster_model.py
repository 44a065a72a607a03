"""The model of several shards: its numbers add up."""

from __future__ import annotations

import pytest
from bench.cluster_model import Costs, Law, Placing, app, balance, per_second, shares, ways

MANY = Law(100_000_000, 1.0)


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.0, 1.2])
def test_what_is_not_placed_one_by_one_is_summed_as_if_it_were(exponent: float) -> None:
    law = Law(100_000, exponent)
    for power in (1, 2):
        exact = sum(rank ** (-exponent * power) for rank in range(law.largest().size + 1, law.organizations + 1))
        assert law.others(power) == pytest.approx(exact, rel=1e-6)
    assert Law(10, exponent).others() == 0


def test_the_largest_of_a_hundred_million_has_a_nineteenth() -> None:
    euler_mascheroni, logarithm = 0.5772156649, 18.4206807440
    assert MANY.largest_share() == pytest.approx(1 / (logarithm + euler_mascheroni))


@pytest.mark.parametrize("placing", Placing)
def test_all_events_are_somewhere(placing: Placing) -> None:
    placed = [shares(MANY, placing, seed) for seed in range(3)]
    assert [float(each.sum()) for each in placed] == pytest.approx([1, 1, 1])
    assert placed[0].tolist() != placed[1].tolist()
    alone = balance(MANY, placed, 1)
    assert (alone.imbalance, alone.worst) == pytest.approx((1, 1))
    assert alone.largest == MANY.largest_share()


def test_no_shard_has_less_than_its_largest_organization() -> None:
    placed = [shares(MANY, Placing.PRODUCT, seed) for seed in range(3)]
    for shards in (2, 8, 64):
        found = balance(MANY, placed, shards)
        assert max(1, found.largest) <= found.imbalance <= found.worst <= shards


def test_organizations_that_are_alike_are_spread_evenly() -> None:
    even = Law(100_000_000, 0)
    assert balance(even, [shares(even, Placing.UNIFORM, 1)], 64).worst == pytest.approx(1, abs=0.01)


def test_whatever_is_handed_on_is_paid_for() -> None:
    costs = Costs(event=10, hop=100)
    assert ways(costs, 1, 1) == (10, 10, 10)
    assert ways(costs, 1, 2) == (10, 60, 60)
    right, one_organization, mixed = ways(costs, 1_000, 4)
    assert (right, one_organization) == pytest.approx((10, 10 + 0.1 * 0.75))
    assert mixed == pytest.approx(10 + 0.1 * 3)
    assert per_second(8, 10, 2) == 400_000


def test_prints_both_tables(capsys: pytest.CaptureFixture[str]) -> None:
    app(["--organizations", "1000", "--placings", "2", "--placing", "uniform"], exit_on_error=False)
    printed = capsys.readouterr().out
    assert "largest shard by mean" in printed
    assert "any, mixed" in printed
