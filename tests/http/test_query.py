"""`GET /v1/query` over the network: who may ask what, what is refused, and how the answer is written."""

from __future__ import annotations

import csv
import io
from typing import Any

import httpx
import pytest

from support.server import Server, event

MODELS = {"small": [5, 7], "=cmd|' /C calc'!A0": [11], "-1+1": [1], "@x": [2], "<b>": [3]}


@pytest.fixture(scope="module")
def organization(server: Server) -> str:
    made = server.organization("aitronos", {"plan": None, "anchor": "2026-03-01", "interval": "P1M"})
    events = [
        event("ai.request", made, {"model": model, "neurons": number, "synapses": 1, "cost": "0.1"}, at=at)
        for model, numbers in MODELS.items()
        for number, at in zip(numbers, ("2026-03-08T06:30:00Z", "2026-03-09T03:59:59Z"), strict=False)
    ]
    late = event("ai.request", made, {"neurons": 100, "synapses": 1, "cost": 1}, at="2026-02-20T00:00:00Z")
    server.send("aitronos", [*events, late])
    return made


@pytest.fixture(scope="module")
def other(server: Server) -> str:
    made = server.organization("aitronos")
    server.send(
        "aitronos", [event("ai.request", made, {"neurons": 4, "synapses": 1, "cost": 1}, at="2026-03-08T12:00:00Z")]
    )
    return made


def ask(server: Server, query: str, **headers: str) -> httpx.Response:
    return server.admin("GET", f"/v1/query?{query}", headers=headers)


def answer(server: Server, query: str) -> dict[str, Any]:
    given = ask(server, query)
    assert given.status_code == 200, given.text
    return given.json()  # type: ignore[no-any-return]


def test_days_of_new_york_by_model_with_another_and_the_month_before(server: Server, organization: str) -> None:
    told = answer(
        server,
        f"organization={organization}&meter=neurons&meter=requests&from=2026-03-08&to=2026-03-10&window=day"
        "&timezone=America/New_York&group_by=model&top=2&compare=previous",
    )
    assert (told["from"], told["to"]) == ("2026-03-08T05:00:00Z", "2026-03-10T04:00:00Z")
    assert told["compared"] == {"start": "2026-03-06T05:00:00Z", "end": "2026-03-08T05:00:00Z"}
    neurons, requests = told["meters"]
    assert (neurons["total"], neurons["previous"], neurons["change_percent"]) == (29, 0, None)
    assert neurons["windows"] == [
        {"start": "2026-03-08T05:00:00Z", "end": "2026-03-09T04:00:00Z", "label": "2026-03-08", "value": 29},
        {"start": "2026-03-09T04:00:00Z", "end": "2026-03-10T04:00:00Z", "label": "2026-03-09", "value": 0},
    ]
    first, second = neurons["groups"]
    assert (first["group"], first["total"], first["share"]) == ({"model": "small"}, 12, 0.4138)
    assert (second["group"]["model"], second["total"]) == ("=cmd|' /C calc'!A0", 11)
    assert [each["value"] for each in first["windows"]] == [12, 0]
    assert (neurons["other"]["groups"], neurons["other"]["total"], neurons["other"]["previous"]) == (3, 6, 0)
    assert requests["total"] == 6


def test_what_is_not_asked_for_is_not_there(server: Server, organization: str) -> None:
    told = answer(server, f"organization={organization}&meter=neurons")
    assert (told["from"], told["to"], told["window"]) == ("2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "none")
    assert told["meters"] == [{"meter": "neurons", "unit": "neurons", "aggregation": "SUM", "total": 29}]
    assert "compared" not in told
    usage = server.usage(organization)
    assert usage["meters"]["neurons"]["used"] == 29


def test_organizations_of_a_namespace(server: Server, organization: str, other: str) -> None:
    span = "meter=neurons&from=2026-03-08&to=2026-03-09&group_by=organization&top=1000"
    whole = answer(server, f"namespace=aitronos&{span}")["meters"][0]
    by_name = {each["group"]["organization"]: each["total"] for each in whole["groups"]}
    assert (by_name[organization], by_name[other]) == (22, 4)
    both = answer(server, f"organization={organization}&organization={other}&{span}")["meters"][0]
    assert (both["total"], [each["total"] for each in both["groups"]], both["other"]) == (26, [22, 4], None)


def test_only_some_groups(server: Server, organization: str) -> None:
    query = f"organization={organization}&meter=neurons&range=1mo&filter.model=small&filter.model=%3Cb%3E"
    assert answer(server, query)["meters"][0]["total"] == 15


def test_rows_for_a_spreadsheet_begin_no_formula(server: Server, organization: str) -> None:
    query = f"organization={organization}&meter=neurons&range=1mo&window=month&group_by=model&compare=previous"
    given = ask(server, query, accept="text/csv")
    assert given.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(given.text)))
    totals = {row["model"]: row["value"] for row in rows if row["part"] == "group" and not row["label"]}
    assert totals == {"small": "12", "'=cmd|' /C calc'!A0": "11", "<b>": "3", "'@x": "2", "'-1+1": "1"}
    assert [(row["value"], row["previous"]) for row in rows if row["part"] == "total"] == [("29", "100"), ("29", "")]


def test_a_position_is_waited_for(server: Server, organization: str) -> None:
    query = f"organization={organization}&meter=neurons"
    position = answer(server, query)["position"]
    assert answer(server, f"{query}&at_least={position}")["meters"][0]["total"] == 29
    late = ask(server, f"{query}&at_least=0-999999999")
    assert (late.status_code, late.json()["code"], late.headers["retry-after"]) == (503, "not_yet", "1")
    assert ask(server, f"{query}&at_least=x").status_code == 400


def test_a_key_asks_about_its_own_organization(server: Server, organization: str, other: str) -> None:
    key = {"authorization": f"Bearer {server.key(organization)}"}

    def status(query: str) -> int:
        return server.http.get(f"/v1/query?meter=neurons{query}", headers=key).status_code

    assert server.http.get("/v1/query?meter=neurons", headers=key).json()["meters"][0]["total"] == 29
    assert status(f"&organization={organization}&namespace=aitronos") == 200
    refused = [f"&organization={other}", "&organization=nobody", "&namespace=octolens", "&group_by=organization"]
    assert [status(query) for query in refused] == [403] * 4
    writes = {"authorization": f"Bearer {server.key(organization, scopes=['events:write'])}"}
    assert server.http.get("/v1/query?meter=neurons", headers=writes).status_code == 403
    assert server.http.get("/v1/query?meter=neurons").status_code == 401


FIFTY_YEARS = "from=1970-01-01&to=2020-01-01"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "meter: name at least one"),
        ("meter=", "meter is empty"),
        ("meter=neurons&fliter.model=a", "'fliter.model'; did you mean filter."),
        ("meter=neurons&windw=day", "'windw'; did you mean window?"),
        ("meter=neurons&window=day&window=day", "window must be given once"),
        ("meter=neurons&window=fortnight", "window: 'fortnight' is not understood; it is one of minute, hour"),
        ("meter=neurons&compare=next", "compare: 'next'"),
        ("meter=neurons&from=2026-03-02&to=2026-03-02", "to: must be later than from"),
        ("meter=neurons&from=2026-03-02&to=2026-03-01", "to: must be later than from"),
        ("meter=neurons&from=2026-02-30", "from: '2026-02-30' is no date"),
        ("meter=neurons&from=0001-01-01", "from: 0001-01-01 is not between"),
        ("meter=neurons&from=yesterday", "from: 'yesterday' is not an RFC 3339"),
        ("meter=neurons&to=2026-03-01", "from: must be given where to is"),
        ("meter=neurons&from=2026-03-01&range=30d", "range: cannot be given with from"),
        ("meter=neurons&range=soon", "range: 'soon' is not understood"),
        ("meter=neurons&range=99999mo", "range: that begins before 1900"),
        ("meter=neurons&timezone=../../etc/passwd", "is not an IANA time zone"),
        ("meter=neurons&timezone=/etc/localtime", "is not an IANA time zone"),
        ("&".join(f"meter=m{n}" for n in range(21)), "meter: 21 meters"),
        ("meter=neurons&group_by=a&group_by=b&group_by=c&group_by=d", "group_by: there are 4 groups"),
        ("meter=neurons&group_by=color", "group_by: the meter neurons has no group 'color'; it has model"),
        ("meter=neurons&filter.color=red", "filter.color: the meter neurons has no group"),
        ("meter=neurons&filter.model=" + "x" * 10_000, "filter.model: has more than 1,000 bytes"),
        ("meter=neurons&" + "&".join(f"filter.model={n}" for n in range(101)), "filter.model: has 101 texts"),
        ("meter=neurons&top=0", "top: '0' is not a whole number from 1 to 1,000"),
        ("meter=neurons&top=1001", "top: '1001'"),
        ("meter=neurons&as_of=2027-01-01T00:00:00Z", "as_of: 2027-01-01T00:00:00Z is still to come"),
        ("meter=neurons&as_of=2026-01-01T00:00:00Z&at_least=0-1", "at_least: cannot be given with as_of"),
        (f"meter=neurons&{FIFTY_YEARS}&window=minute", "window: minutes are told of at most 24 hours"),
        (f"meter=neurons&{FIFTY_YEARS}&window=hour", "window: that is more than 100,000 windows"),
        ("meter=neurons&meter=requests&from=2014-01-01&to=2020-01-01&window=hour", "more than 100,000 numbers"),
        ("meter=neurons&namespace=octolens", "organization: "),
    ],
)
def test_what_means_nothing_is_refused_by_name(server: Server, organization: str, query: str, words: str) -> None:
    refused = ask(server, f"organization={organization}&{query}")
    assert refused.status_code == 400, refused.text
    assert words in refused.json()["detail"]


def test_whom_it_is_about_must_be_said(server: Server, organization: str) -> None:
    assert "organization: name one or several" in ask(server, "meter=neurons").json()["detail"]
    stranger = server.organization("octolens")
    foreign = ask(server, f"meter=neurons&organization={organization}&organization={stranger}")
    assert (foreign.status_code, f"{stranger} is of the namespace octolens" in foreign.text) == (400, True)
    assert ask(server, "meter=neurons&organization=nobody").status_code == 404
    assert ask(server, "meter=neurons&namespace=nobody&range=1d").status_code == 404
    assert ask(server, f"meter=nothing&organization={organization}").status_code == 404
    shared = ask(server, "meter=neurons&namespace=aitronos")
    assert "range: current_period is not the same for all" in shared.json()["detail"]


def test_an_open_usage_period(server: Server, other: str) -> None:
    """Without a subscription: all time, and divided from the first event's day to the end of today."""
    whole = answer(server, f"organization={other}&meter=neurons")
    assert (whole["from"], whole["to"], whole["meters"][0]["total"]) == (None, None, 4)
    days = answer(server, f"organization={other}&meter=neurons&window=day")
    assert [days["from"], days["to"]] == ["2026-03-08T00:00:00Z", "2026-03-16T00:00:00Z"]
    assert [each["value"] for each in days["meters"][0]["windows"]] == [4] + [0] * 7
    assert "compare: there is no such span" in ask(server, f"organization={other}&meter=neurons&compare=year").text
    assert (
        "range: there is no previous_period"
        in ask(server, f"organization={other}&meter=neurons&range=previous_period").text
    )
