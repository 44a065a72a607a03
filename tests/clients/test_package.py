"""What the client needs: httpx and msgspec, and of other libraries only those that somebody integrates."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "clients/python"
OPTIONAL = {"litellm": "litellm", "opentelemetry": "opentelemetry-sdk"}
IMPORTING = """
import importlib, pkgutil, sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None  # as where it is not installed
import meterhouse_client
for each in pkgutil.iter_modules(meterhouse_client.__path__):
    try:
        importlib.import_module(f"meterhouse_client.{each.name}")
    except ImportError as missing:
        print(each.name, missing.name.partition(".")[0])
"""


def test_only_integrations_need_more_than_the_package_says() -> None:
    others = ["litellm", "opentelemetry", "openai", "anthropic", "flask", "django", "starlette", "fastapi", "litestar"]
    environment = {**os.environ, "PYTHONPATH": str(CLIENT / "src")}
    command = [sys.executable, "-c", IMPORTING, ",".join(others)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    assert [line.split() for line in done.stdout.splitlines()] == [[name, name] for name in sorted(OPTIONAL)]
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {re.split("[<>=]", each)[0] for each in project["dependencies"]} == {"httpx", "msgspec"}
    for module, library in OPTIONAL.items():
        text = (CLIENT / f"src/meterhouse_client/{module}.py").read_text("utf-8")
        assert f"Needs `{library}`" in " ".join(text.split())
