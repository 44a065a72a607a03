"""The numbers of `docs/numbers`, against a real server, by the script that users have."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from walkthrough import DOCS

from support.server import ADMIN_KEY, Server

NUMBERS = DOCS / "numbers"


def run(server: Server, folder: Path) -> tuple[int, str]:
    command = [sys.executable, str(folder / "check.py"), str(server.http.base_url)]
    environment = {**os.environ, "METERHOUSE_ADMIN_KEY": ADMIN_KEY}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert not done.stderr
    return done.returncode, done.stdout


def test_every_number_is_as_it_was_worked_out(server: Server) -> None:
    cases = json.loads((NUMBERS / "cases.json").read_text("utf-8"))
    assert {case["namespace"] for case in cases} == {"aitronos", "autoposting", "octolens", "onepin", "unsiloed"}
    code, said = run(server, NUMBERS)
    assert (code, said) == (0, f"cases: {len(cases)}, numbers that are wrong: 0\n"), said


def test_a_number_that_is_another_is_named(server: Server, tmp_path: Path) -> None:
    shutil.copy(NUMBERS / "check.py", tmp_path)
    case = json.loads((NUMBERS / "cases.json").read_text("utf-8"))[0]
    case["expect"] = {"usage meters.credits.used": "1.0", "current_usage": "1"}
    (tmp_path / "cases.json").write_text(json.dumps([case]))
    said = f"{case['name']}: usage meters.credits.used is 1, not 1.0\ncases: 1, numbers that are wrong: 1\n"
    assert run(server, tmp_path) == (1, said)
