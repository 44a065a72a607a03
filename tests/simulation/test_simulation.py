"""The product against the auditor: seeds of random lives, every answer of every contract compared.

`make simulate SEEDS=5000` runs more of them.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from simulation.product import Product
from simulation.workload import SEEDS_IN_A_CASE, Difference, Life
from support.depth import by_depth

FIRST = int(os.environ.get("SIMULATION_FIRST", "0"))
SEEDS = int(os.environ.get("SIMULATION_SEEDS", by_depth(10, 80, 5_000)))
CASES = [list(seeds) for _, seeds in groupby(range(FIRST, FIRST + SEEDS), key=lambda seed: seed // SEEDS_IN_A_CASE)]
INDEPENDENT = ("auditor.py", "catalogs_by_hand.py", "contract_answers.py", "correcting.py", "onepin_answers.py")


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Product]:
    opened = Product(tmp_path)
    yield opened
    opened.close()


@pytest.mark.parametrize("seeds", CASES, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_it_answers_what_the_auditor_answers(seeds: list[int], product: Product) -> None:
    for seed in seeds:
        replay = f"replay: SIMULATION_FIRST={seed} SIMULATION_SEEDS=1 pytest tests/simulation -k auditor_answers"
        try:
            Life(seed, product).run()
        except Difference as difference:
            pytest.fail(f"{replay} # {difference}", pytrace=False)
        except Exception as failure:
            failure.add_note(replay)
            raise


@pytest.mark.parametrize("module", INDEPENDENT)
def test_the_auditor_knows_nothing_of_the_product(module: str) -> None:
    for node in ast.walk(ast.parse(Path(__file__).with_name(module).read_text())):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        known = [f"simulation.{each.removesuffix('.py')}" for each in INDEPENDENT]
        assert all(
            name in known or name.partition(".")[0] not in ("meterhouse", "simulation", "support") for name in names
        )
