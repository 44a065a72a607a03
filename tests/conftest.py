"""What all tests share: skips that count, and one running server for those that need no server of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.depth import DEPTH, register_profiles
from support.server import CANNOT, Server, serve

register_profiles()

# Hundreds of processes are started; where nothing is kept, each of them compiles all sources anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

NOW = "2026-03-15T12:00:00Z"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-skips", action="store_true", help="a skip that is the set-up's fault fails the run")


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if session.config.getoption("--strict-skips") and any(CANNOT not in str(each.longrepr) for each in skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose clock stands at 15 March 2026, noon UTC.

    All tests ask from one address: wrong keys are not limited.
    """
    patient = {"METERHOUSE_FAILED_KEYS_PER_MINUTE": "0"}
    with serve(tmp_path_factory.mktemp("server") / "data", now=NOW, environment=patient) as running:
        yield running


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if DEPTH != "quick":
        return
    left = [item for item in items if item.get_closest_marker("thorough")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in {*left}]


def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are cores: many tests wait for a server most of their time."""
    return 2 * (os.cpu_count() or 1)
