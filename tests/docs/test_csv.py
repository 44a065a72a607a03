"""A CSV file in, its own sums out: with the real traces where they are at hand, and always with files like them."""

from __future__ import annotations

import csv
import random
import re
import shlex
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from walkthrough import DOCS, Command, steps, walk

from support.server import ADMIN_KEY, Server, serve

PAGE = DOCS / "how-to" / "ingest-a-csv-file.md"
REAL = DOCS.parents[1] / "shared" / "data" / "azure-llm-2023"
NAMES = ("code.csv", "conv.csv")
_decoder = msgspec.json.Decoder(float_hook=Decimal)


def generate(folder: Path) -> Path:
    """Two small files of the traces' shape: rows in one microsecond too, and no newline at the end."""
    rng = random.Random(2023)
    for name, rows in zip(NAMES, (190, 301), strict=True):
        moment, lines = datetime(2023, 11, 16, 18, 15, 46), ["TIMESTAMP,ContextTokens,GeneratedTokens"]  # noqa: DTZ001
        for _ in range(rows):
            moment += timedelta(microseconds=rng.choice((0, 1, 680_590, 4_314_570)))
            lines.append(
                f"{moment:%Y-%m-%d %H:%M:%S.%f}{rng.randrange(10)},{rng.randrange(75_000)},{rng.randrange(900)}"
            )
        (folder / name).write_text("\n".join(lines))
    return folder


@pytest.fixture(params=["small", "real"] if REAL.exists() else ["small"])
def traces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two files."""
    return REAL if request.param == "real" else generate(tmp_path_factory.mktemp("traces"))


def page_command() -> str:
    """The first `meterhouse ingest` of the page."""
    return next(
        step.text for step in steps(PAGE) if isinstance(step, Command) and step.text.startswith("meterhouse ingest")
    )


def ingest(server: Server, file: Path, organization: str) -> dict[str, int]:
    """The page's own command, on another file and organization."""
    command = page_command().replace("\\\n", " ").replace("splitwise", organization)
    command = command.replace("ingest code.csv", f"ingest {shlex.quote(str(file))}")
    command = command.replace("model code", f"model {file.stem}")
    environment = {"METERHOUSE_ADMIN_KEY": ADMIN_KEY, "METERHOUSE_URL": str(server.http.base_url)}
    arguments = ["-m", "meterhouse", *shlex.split(command)[1:], "--json"]
    done = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("no --csv.id")
    return _decoder.decode(done.stdout)  # type: ignore[no-any-return]


def test_the_totals_are_the_files_own_sums(tmp_path: Path, traces: Path) -> None:
    files = [traces / name for name in NAMES]
    rows = {file.stem: list(csv.DictReader(file.read_text("utf-8").splitlines())) for file in files}
    everything = [row for each in rows.values() for row in each]
    now = "2026-03-15T12:00:00Z"
    with serve(tmp_path / "data", now=now) as server:
        org = server.organization("aitronos")
        path, headers = f"/v1/analytics/usage/summary/{org}", {"x-api-key": server.key(org)}
        none = {"ingested": 0, "duplicates": 0, "conflicts": 0, "rejected": 0, "unmatched": 0}
        for file in files:
            assert ingest(server, file, org) == {**none, "ingested": len(rows[file.stem])}
        answer = server.http.get(path, headers=headers)
        for file in files:
            assert ingest(server, file, org) == {**none, "duplicates": len(rows[file.stem])}
        assert server.http.get(path, headers=headers).content == answer.content
        server.kill()
    with serve(tmp_path / "data", now=now) as server:
        assert server.http.get(path, headers=headers).content == answer.content
    totals = _decoder.decode(answer.content)
    assert totals["totalRequests"] == len(everything)
    assert totals["totalNeurons"] == sum(Decimal(row["ContextTokens"]) for row in everything)
    assert totals["total_synapses"] == sum(Decimal(row["GeneratedTokens"]) for row in everything)
    assert totals["totalCost"] == Decimal("0.01") * len(everything)
    assert {each["model"]: each["requests"] for each in totals["topModels"]} == {
        name: len(each) for name, each in rows.items()
    }
    assert totals["timeRange"]["start"] == "2023-11-16"


@pytest.mark.thorough
def test_the_page_does_what_it_says(tmp_path: Path, traces: Path) -> None:
    """Followed with the small files and their figures; the figures of the real ones are the page's own."""
    files = {name: (traces / name).read_bytes() for name in NAMES}
    text = page_about(files)
    if traces == REAL:
        assert text == PAGE.read_text("utf-8")
        return
    page = tmp_path / PAGE.name
    page.write_text(text, "utf-8")
    assert walk(page, tmp_path, files) > 5


def page_about(files: dict[str, bytes]) -> str:
    """The page as it were if it was about these files."""
    lines = {name: content.decode().splitlines() for name, content in files.items()}
    rows = [row.split(",") for each in lines.values() for row in each[1:]]
    figures = {
        "8,819": f"{len(lines['code.csv']) - 1:,}",
        "19,366": f"{len(lines['conv.csv']) - 1:,}",
        "28185": f"{len(rows):>5}",
        "40421844": f"{sum(int(row[1]) for row in rows):>8}",
        "4334561": f"{sum(int(row[2]) for row in rows):>7}",
        "281.85": f"{Decimal('0.01') * len(rows):>6}",
    }
    text = PAGE.read_text("utf-8")
    for real, ours in figures.items():
        assert real in text
        text = text.replace(real, ours)
    head = "".join(f"{line}\n" for line in lines["code.csv"][:3])
    return re.sub(r"(?<=\$ head -3 code.csv\n)(.+\n){3}", lambda _: head, text)
