"""Golden cases: events in, and the very bytes that a contract's clients get out.

`python -m meterhouse.testing acme-usage/golden --catalog acme.toml` runs every case of a folder in this process,
against a Meterhouse on a temporary folder with every option at its default. The exit code is 1 when anything is not as
expected. A case is a JSON file; `Script` says what is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import httpx
import msgspec
import structlog

from .domain.errors import Invalid, MeterhouseError
from .domain.period import parse_instant
from .settings import Settings
from .wiring import Meterhouse, open_meterhouse

NOW = "2026-03-15T12:00:00Z"
"""Where the clock of a case stands that does not say otherwise."""

Call = Callable[[str, str, Mapping[str, str], bytes | None], httpx.Response]
"""Sends a request (method, path, headers, body) to the Meterhouse under test."""

_BATCH_EVENTS = 5_000
_SHOWN_CHARACTERS = 40

_encode = msgspec.json.Encoder(decimal_format="number").encode


class CaseError(Invalid):
    """A case that cannot be run; the message names the file and the place."""

    code = "case"


class Repeat(msgspec.Struct, forbid_unknown_fields=True):
    """An event that stands for several: `data` has the property `numbered` with "1", "2" … up to `times`."""

    times: Annotated[int, msgspec.Meta(ge=1)]
    numbered: str


class Event(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An event of the case's organization, as [type, time, data] or [type, time, data, repeat]. `time` may be null."""

    type: str
    time: str | None
    data: dict[str, Any]
    repeat: Repeat | None = None


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    """A request, and what it must be answered with.

    `{key}` in a header stands for a valid key of the organization. `answer` is the text itself, or a JSON value that
    stands for its shortest text; `{request_id}` in it stands for the id of that answer.
    """

    path: str
    status: int
    answer: Any
    method: str = "GET"
    headers: dict[str, str] = {}


class Script(msgspec.Struct, forbid_unknown_fields=True):
    """What a case's file has: bodies for Meterhouse's own API, events, and requests."""

    organization: dict[str, Any]
    """Its `id`, which no other case may have; `name` is the same unless given."""
    requests: Annotated[list[Asked], msgspec.Meta(min_length=1)]
    events: list[Event] = []
    subscription: dict[str, Any] | None = None
    key: dict[str, Any] = {}
    now: str = NOW


_script = msgspec.json.Decoder(Script, float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Case:
    """A case, ready to be run."""

    name: str
    """Folder and file, without `.json`."""
    now: datetime
    script: Script


class _NotPrepared(Exception):
    """The organization, its key or its events could not be made as the case says."""


def read_case(path: Path) -> Case:
    """The case in a file. Raises `CaseError`."""
    try:
        script = _script.decode(path.read_bytes())
        return Case(f"{path.absolute().parent.name}/{path.stem}", parse_instant(script.now), script)
    except OSError as wrong:
        raise CaseError(f"{path} cannot be read: {wrong.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, Invalid) as wrong:
        raise CaseError(f"{path}: {wrong}") from None


def read_cases(folder: Path) -> list[Case]:
    """The cases of a folder, by name. Raises `CaseError`, also when there is none."""
    cases = [read_case(path) for path in sorted(folder.glob("*.json"))]
    if not cases:
        raise CaseError(f"{folder} has no case: there is no *.json in it")
    return cases


def run_golden(cases: Sequence[Case], catalog: Path) -> list[str]:
    """Runs cases against the contract of a catalog; what is not as expected, a text each.

    Cases of one instant share a Meterhouse, which is opened in this process; nothing else may have one open there.
    Raises `MeterhouseError` when it cannot be opened.
    """
    mismatches = []
    for now, group in groupby(sorted(cases, key=lambda case: case.now), key=lambda case: case.now):
        with TemporaryDirectory(prefix="meterhouse-") as folder:
            settings = Settings(data=Path(folder) / "data", catalogs=(catalog,), now=now)
            with open_meterhouse(settings) as meterhouse, _in_process(meterhouse) as call:
                [namespace] = [each.namespace for each in meterhouse.catalogs]
                for case in group:
                    mismatches += check_case(case, namespace, call, meterhouse.admin_key)
    return mismatches


def check_case(case: Case, namespace: str, call: Call, admin_key: str) -> list[str]:
    """Runs one case against a Meterhouse whose clock stands at its `now`; what is not as expected, a text each."""
    try:
        key = _prepare(case, namespace, call, admin_key)
    except _NotPrepared as wrong:
        return [f"{case.name}: {wrong}"]
    return [mismatch for asked in case.script.requests for mismatch in _check(case, asked, key, call)]


def _prepare(case: Case, namespace: str, call: Call, admin_key: str) -> str:
    """The key of the organization, which has been made, subscribed and had its events."""

    def api(method: str, path: str, body: object) -> Any:
        headers = {"authorization": f"Bearer {admin_key}", "content-type": "application/json"}
        answer = call(method, path, headers, _encode(body))
        if not answer.is_success and answer.status_code != 422:
            raise _NotPrepared(f"{method} {path} was answered with {answer.status_code}: {answer.text}")
        return msgspec.json.decode(answer.content)

    script = case.script
    id = script.organization.get("id")
    api("POST", "/v1/organizations", {"name": id, "namespace": namespace, **script.organization})
    if script.subscription is not None:
        api("PUT", f"/v1/organizations/{id}/subscription", script.subscription)
    events = list(_events(case, str(id)))
    for start in range(0, len(events), _BATCH_EVENTS):
        report = api("POST", f"/v1/events?namespace={namespace}", events[start : start + _BATCH_EVENTS])
        if report["errors"]:
            wrong = report["errors"][0]
            raise _NotPrepared(f"event {wrong['id']} was not taken: {wrong['message']}")
    return str(api("POST", f"/v1/organizations/{id}/keys", script.key)["key"])


def _events(case: Case, subject: str) -> Iterator[dict[str, Any]]:
    """The case's events as CloudEvents, each with an id of its own."""
    number = 0
    for event in case.script.events:
        numbered = [{event.repeat.numbered: str(n + 1)} for n in range(event.repeat.times)] if event.repeat else [{}]
        for more in numbered:
            yield {
                "specversion": "1.0",
                "id": f"{case.name.rpartition('/')[2]}-{number}",
                "source": case.name,
                "type": event.type,
                "subject": subject,
                "data": event.data | more,
                **({"time": event.time} if event.time else {}),
            }
            number += 1


def _check(case: Case, asked: Asked, key: str, call: Call) -> Iterator[str]:
    headers = {name: text.replace("{key}", key) for name, text in asked.headers.items()}
    answer = call(asked.method, asked.path, headers, None)
    text = asked.answer if isinstance(asked.answer, str) else _encode(asked.answer).decode()
    expected = f"{asked.status} {text.replace('{request_id}', answer.headers.get('x-request-id', ''))}"
    happened = f"{answer.status_code} {answer.content.decode(errors='backslashreplace')}"
    where = f"{case.name}: {asked.method} {asked.path}"
    if happened != expected:
        pairs = zip(expected, happened, strict=False)
        same = next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(happened)))
        there, here = (each[same : same + _SHOWN_CHARACTERS] or "nothing more" for each in (expected, happened))
        yield (
            f"{where}\n  expected  {expected}\n  answered  {happened}\n"
            f"  from here expected  {there}\n  from here answered  {here}"
        )
    if (media_type := answer.headers.get("content-type")) != "application/json":
        yield f"{where}\n  the content type is {media_type}, not application/json"


@contextmanager
def _in_process(meterhouse: Meterhouse) -> Iterator[Call]:
    transport = httpx.ASGITransport(meterhouse.app)  # type: ignore[arg-type] # two spellings of ASGI's types
    with asyncio.Runner() as runner:
        http = httpx.AsyncClient(base_url="http://meterhouse", transport=transport)

        def call(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> httpx.Response:
            return runner.run(http.request(method, path, headers=headers, content=body))

        yield call
        runner.run(http.aclose())


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 all as expected · 1 something is not, or could not be run · 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m meterhouse.testing", description="Runs a contract's golden cases.")
    parser.add_argument("folder", type=Path, help="where the cases are, one JSON file each")
    parser.add_argument(
        "--catalog", type=Path, required=True, metavar="FILE", help="the catalog that names the contract"
    )
    given = parser.parse_args(arguments)
    # From here on, so that the exception behind a contract's internal error is seen, and no line per request.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        cases = read_cases(given.folder)
        mismatches = run_golden(cases, given.catalog)
    except MeterhouseError as wrong:
        print(f"error: {wrong}", file=sys.stderr)
        return 1
    for mismatch in mismatches:
        print(mismatch)
    requests = sum(len(case.script.requests) for case in cases)
    print(f"cases: {len(cases)}, requests: {requests}, mismatches: {len(mismatches)}")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
