"""What has no database server, no cluster and no source needs none of their clients."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("psycopg", "clickhouse_connect", "fsspec", "confluent_kafka"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from meterhouse.cli import main
main()
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_a_folder_needs_none_of_them(tmp_path: Path) -> None:
    added = run("org", "add", "acme", "--namespace", "unsiloed", "--name", "Acme", "--data", str(tmp_path / "data"))
    assert added.returncode == 0, added.stderr


def test_a_node_says_what_to_install(tmp_path: Path) -> None:
    refused = run(
        "serve",
        "--data",
        str(tmp_path / "data"),
        METERHOUSE_CLUSTER_URL="postgresql+psycopg://nobody@127.0.0.1:1/nowhere",
        METERHOUSE_CLICKHOUSE_URLS="http://127.0.0.1:1/meterhouse_0",
        METERHOUSE_ADMIN_KEY="test-admin-key-0123456789",
    )
    assert refused.returncode == 1
    assert "pip install 'meterhouse[cluster]'" in refused.stderr


_ROW = ("--row.type", "t", "--row.time", "at", "--row.subject", "a")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("ingest", "s3://bucket/usage.csv", "--namespace", "unsiloed"), "files"),
        (("source", "kafka", "--namespace", "a", "--brokers", "a:1", "--topic", "a", "--group", "a"), "kafka"),
        (
            ("source", "postgresql", "--namespace", "a", "--table", "a", "--cursor", "a", "--state", "a", *_ROW),
            "postgresql",
        ),
    ],
)
def test_a_source_says_what_to_install(tmp_path: Path, arguments: tuple[str, ...], extra: str) -> None:
    refused = run(*arguments, "--data", str(tmp_path / "data"))
    assert refused.returncode == 1
    assert f"pip install 'meterhouse[{extra}]'" in refused.stderr
    assert not (tmp_path / "data").exists()
