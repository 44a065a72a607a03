"""History made inside the engine, for sizes that would take hours over HTTP. A process of its own, before the server.

The same distributions as `workload`, written straight into the events table. Rows look as if they had been sent:
commits of 10,000 whose time advances, 2 % late. Nothing is stored twice, so the 1 % of duplicates is not there;
identities are random numbers, not the server's hashes (the engine has no XXH3), so that none may be sent again.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.engine.schema_queries import CREATE_EVENTS
from meterhouse.storage.folder import DataFolder

from .workload import DAYS, LATE_DAYS, MODELS, NOW, PRODUCTS

COMMIT_EVENTS = 10_000
_INSERT_EVENTS = 1_000_000
_PRECISION = 10_000
"""Shares are drawn from so many places."""


def _one_of(texts: list[str], draw: str) -> str:
    """One of some texts, each as likely as the others; `draw` is an integer."""
    listed = ", ".join(f"'{text}'" for text in texts)
    return f"[{listed}][1 + {draw} % {len(texts)}]"


def _numbers(**columns: str) -> str:
    """The quantities of an event, each an expression. The engine casts to no wide decimal, but reads it from JSON; from
    strings there, because a number would pass through a double."""
    members = "',', ".join(f"'\"{name}\":\"', toString({column}), '\"'," for name, column in columns.items())
    return f"JSONExtract(concat('{{', {members} '}}'), 'Map(LowCardinality(String), Decimal(76, 28))')"


_NONE = _numbers()

# By product: type, share of the product's events, data and numbers; `a` to `c` are random integers of a row.
_HAPPENINGS: dict[str, list[tuple[str, float, str, str]]] = {
    "autoposting": [
        (
            "post.state",
            0.4,
            'concat(\'{"post_id":"post-\', toString(a % 50000), \'","state":"\', '
            f'{_one_of(["scheduled", "published", "published", "failed"], "b")}, \'","source":"api"}}\')',
            _NONE,
        ),
        (
            "ai.usage",
            0.25,
            f'concat(\'{{"model":"\', {_one_of(MODELS, "a")}, \'","input_tokens":\', toString(b % 9000), '
            "',\"output_tokens\":120,\"cost\":\"0.', leftPad(toString(b % 9000), 6, '0'), '\"}')",
            _numbers(input_tokens="b % 9000", output_tokens="120", cost="toDecimal64(b % 9000, 6) / 1000000"),
        ),
        (
            "credit.used",
            0.25,
            f"concat('{{\"amount\":\"', {_one_of(['0.25', '1', '1.5'], 'a')}, '\"}}')",
            _numbers(amount=_one_of(["0.25", "1", "1.5"], "a")),
        ),
        ("clip.uploaded", 0.02, "concat('{\"clip_id\":\"clip-', toString(a % 9000), '\"}')", _NONE),
        ("clip.rendered", 0.02, "concat('{\"clip_id\":\"clip-', toString(a % 9000), '\"}')", _NONE),
        (
            "agent.run",
            0.06,
            "concat('{\"agent_id\":\"agent-', toString(a % 30), '\",\"posts_generated\":', toString(b % 5), '}')",
            _numbers(posts_generated="b % 5"),
        ),
    ],
    "aitronos": [
        (
            "ai.request",
            1,
            f'concat(\'{{"model":"\', {_one_of(MODELS, "a")}, \'","neurons":\', toString(b % 9000), '
            "',\"synapses\":', toString(c % 900), ',\"cost\":\"0.', leftPad(toString(b % 9000), 6, '0'), '\"}')",
            _numbers(neurons="b % 9000", synapses="c % 900", cost="toDecimal64(b % 9000, 6) / 1000000"),
        )
    ],
    "unsiloed": [
        (
            "credit.used",
            1,
            'concat(\'{"amount":\', toString(1 + a % 12), \',"operation":"\', '
            f"{_one_of(['parse', 'extract', 'split'], 'b')}, '\"}}')",
            _numbers(amount="1 + a % 12"),
        )
    ],
    "onepin": [
        (
            "run.state",
            0.2,
            'concat(\'{"run_id":"run-\', toString(a % 20000), \'","user_id":"user-\', toString(b % 40), '
            f'\'","state":"\', {_one_of(["pending", "running", "completed", "failed"], "c")}, \'"}}\')',
            _NONE,
        ),
        (
            "audio.delivered",
            0.1,
            'concat(\'{"run_id":"run-\', toString(a % 20000), \'","user_id":"user-\', toString(b % 40), '
            "'\",\"audio_ms\":', toString(c % 60000), '}')",
            _numbers(audio_ms="c % 60000"),
        ),
        (
            "line.generated",
            0.7,
            'concat(\'{"run_id":"run-\', toString(a % 20000), \'","user_id":"user-\', toString(b % 40), '
            f'\'","locale":"\', {_one_of(["en-US", "de-CH", "ja-JP"], "c")}, \'","characters":\', '
            'toString(c % 160), \',"corrected_words":\', toString(c % 3), \',"credits":"\', '
            "toString(toDecimal64(a % 900, 2) / 100), '\"}')",
            _numbers(characters="c % 160", corrected_words="c % 3", credits="toDecimal64(a % 900, 2) / 100"),
        ),
    ],
    "octolens": [
        (
            "keyword.state",
            0.01,
            'concat(\'{"keyword_id":"keyword-\', toString(a % 40), \'","state":"\', '
            f"{_one_of(['active', 'paused', 'deleted'], 'b')}, '\"}}')",
            _NONE,
        ),
        (
            "mention.found",
            0.99,
            'concat(\'{"mention_id":"mention-\', toString(a % 1000000000), \'","keyword_id":"keyword-\', '
            "toString(b % 40), '\"}')",
            _NONE,
        ),
    ],
    "fleet": [
        (
            "device.reading",
            1,
            'concat(\'{"device_id":"device-\', toString(a % 500), \'","celsius":"\', '
            "toString(toDecimal64(b % 900, 1) / 10), '\",\"bytes_stored\":', toString(c % 1000000000000), '}')",
            _numbers(celsius="toDecimal64(b % 900, 1) / 10", bytes_stored="c % 1000000000000"),
        )
    ],
}


# The rank of an organization from a uniform draw below 10,000: the weights of `workload`, added up.
_RANK = (
    "multiIf(draw < 3500, 0, draw < 7800, 1 + intDiv(draw - 3500, 1075), "
    "draw < 9000, 5 + intDiv(draw - 7800, 240), 10 + intDiv((draw - 9000) * 9, 100))"
)


def _insert(namespace: str, first: int, begin: int, end: int, of: int) -> str:
    """Events `begin` to `end` of the product's `of`, beginning with commit `first`."""
    happenings = _HAPPENINGS[namespace]
    passed, types, datas, numbers = 0.0, [], [], []
    for event_type, share, data, quantities in happenings:
        passed += share
        condition = f"kind < {round(passed * _PRECISION)}"
        types.append(f"{condition}, '{event_type}'")
        datas.append(f"{condition}, {data}")
        numbers.append(f"{condition}, {quantities}")

    def choose(cases: list[str]) -> str:
        return f"multiIf({', '.join(cases)}, {cases[-1].split(', ', 1)[1]})"

    span, now = DAYS * 86_400_000_000, int(NOW.timestamp()) * 1_000_000
    late = f"if(rand(5) % 50 = 0, rand64(6) % {LATE_DAYS * 86_400_000_000}, 0)"
    at = f"{now - span} + intDiv({span} * ({begin} + number), {of})"
    return (
        "INSERT INTO events (namespace, organization, type, time, source, id, identity, commit, position, stored_at, "
        f"data, numbers) WITH rand64(1) AS a, rand64(2) AS b, rand64(3) AS c, rand(4) % {_PRECISION} AS kind, "
        f"rand(7) % {_PRECISION} AS draw "
        f"SELECT '{namespace}', concat('{namespace}-', toString({_RANK})), "
        f"{choose(types)}, fromUnixTimestamp64Micro(toInt64({at} - {late}), 'UTC'), 'bench', "
        f"toString(generateUUIDv4()), rand64(8), {first} + intDiv(number, {COMMIT_EVENTS}), number % {COMMIT_EVENTS}, "
        f"fromUnixTimestamp64Micro(toInt64({now}), 'UTC'), {choose(datas)}, {choose(numbers)} "
        f"FROM numbers({end - begin}) SETTINGS max_insert_block_size = {_INSERT_EVENTS}, "
        f"min_insert_block_size_rows = {_INSERT_EVENTS}, min_insert_block_size_bytes = 4000000000"
    )


def fill(folder: Path, events: int, of: int) -> float:
    """Writes the first `events` of a workload of `of` into a data folder; how many a second."""
    data = DataFolder(folder)
    engine = ChdbEngine(data.events)
    engine.execute(CREATE_EVENTS)
    share, whole = events // len(PRODUCTS), max(1, of // len(PRODUCTS))
    began, commit = time.perf_counter(), 1
    for begin in range(0, share, _INSERT_EVENTS):
        end = min(share, begin + _INSERT_EVENTS)
        for product in PRODUCTS:
            engine.execute(_insert(product.namespace, commit, begin, end, whole))
            commit += -(-(end - begin) // COMMIT_EVENTS)
    seconds = time.perf_counter() - began
    engine.close()
    data.manifest.update(commit=commit - 1, events=share * len(PRODUCTS))
    data.close()
    return share * len(PRODUCTS) / seconds


if __name__ == "__main__":
    print(fill(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
