"""The meters and plans that the auditor goes by, restated by hand from the catalogs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meter:
    """How the events of one type become a number."""

    slug: str
    type: str
    how: str
    unit: str = ""
    values: tuple[str, ...] = ()
    optional: bool = False
    entity: str = ""
    state: str = ""
    states: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    window: str = "changed"


POST_STATES = ("draft", "scheduled", "publishing", "published", "partial", "failed", "archived")
RUN_STATES = ("pending", "running", "completed", "failed", "cancelled", "paused")
KEYWORD_STATES = ("active", "paused", "deleted")
JOB_STATES = ("waiting", "running", "done")

UNMETERED = {"octolens": "mention.backfilled", "onepin": "workspace.activity"}
"""What is stored and counts for nothing, by the contracts' pages."""
METERS: dict[str, tuple[Meter, ...]] = {
    "unsiloed": (Meter("credits", "credit.used", "SUM", "credits", ("amount",)),),
    "aitronos": (
        Meter("requests", "ai.request", "COUNT", "requests"),
        Meter("neurons", "ai.request", "SUM", "neurons", ("neurons",)),
        Meter("synapses", "ai.request", "SUM", "synapses", ("synapses",)),
        Meter("cost", "ai.request", "SUM", "CHF", ("cost",)),
    ),
    "autoposting": (
        Meter("credits", "credit.used", "SUM", "credits", ("amount",)),
        Meter(
            "posts",
            "post.state",
            "STATE_COUNT",
            "posts",
            entity="post_id",
            state="state",
            states=POST_STATES,
            counted=("published",),
        ),
        Meter("clips_uploaded", "clip.uploaded", "COUNT", "clips"),
        Meter("clips_rendered", "clip.rendered", "COUNT", "clips"),
        Meter("agent_runs", "agent.run", "COUNT", "runs"),
        Meter("agent_posts_generated", "agent.run", "SUM", "posts", ("posts_generated",), optional=True),
        Meter("agents", "agent.run", "UNIQUE_COUNT", "agents", ("agent_id",), optional=True),
        Meter("ai_tokens", "ai.usage", "SUM", "tokens", ("input_tokens", "output_tokens")),
        Meter("ai_input_tokens", "ai.usage", "SUM", "tokens", ("input_tokens",)),
        Meter("ai_output_tokens", "ai.usage", "SUM", "tokens", ("output_tokens",)),
        Meter("ai_requests", "ai.usage", "COUNT", "requests"),
        Meter("ai_cost", "ai.usage", "SUM", "USD", ("cost",), optional=True),
    ),
    "onepin": (
        Meter("credits", "line.generated", "SUM", "credits", ("credits",)),
        Meter("lines", "line.generated", "COUNT", "lines"),
        Meter("characters", "line.generated", "SUM", "characters", ("characters",)),
        Meter("corrected_words", "line.generated", "SUM", "words", ("corrected_words",), optional=True),
        Meter("audio_ms", "audio.delivered", "SUM", "ms", ("audio_ms",)),
        Meter(
            "runs",
            "run.state",
            "STATE_COUNT",
            "runs",
            entity="run_id",
            state="state",
            states=RUN_STATES,
            window="created",
        ),
    ),
    "octolens": (
        Meter("mentions", "mention.found", "UNIQUE_COUNT", "mentions", ("mention_id",)),
        Meter(
            "keywords",
            "keyword.state",
            "STATE_COUNT",
            "keywords",
            entity="keyword_id",
            state="state",
            states=KEYWORD_STATES,
            counted=("active", "paused"),
            window="now",
        ),
    ),
    "eight": (
        Meter("credits", "credit.used", "SUM", "credits", ("amount",)),
        Meter("calls", "call", "COUNT"),
        Meter("tokens", "call", "SUM", values=("input", "output")),
        Meter("fastest", "call", "MIN", values=("latency_ms",)),
        Meter("slowest", "call", "MAX", values=("latency_ms",)),
        Meter("mean", "call", "AVG", values=("latency_ms",)),
        Meter("people", "call", "UNIQUE_COUNT", values=("user.id",)),
        Meter("stored_gb", "disk", "LATEST", "GB", ("gb",)),
        Meter("jobs", "job", "STATE_COUNT", entity="job", state="state", states=JOB_STATES, counted=("running",)),
    ),
}

PLANS: dict[str, dict[str, dict[str, int]]] = {
    "unsiloed": {"Free": {"credits": 100}, "Growth": {"credits": 10_000}, "Enterprise": {"credits": 250_000}},
    "aitronos": {
        "Developer": {"requests": 10_000, "cost": 50},
        "Business": {"requests": 1_000_000, "cost": 5_000},
        "Enterprise": {"cost": 100_000},
    },
    "autoposting": {
        "Starter": {
            "credits": 500,
            "posts": 100,
            "clips_uploaded": 20,
            "clips_rendered": 60,
            "agent_runs": 30,
            "ai_tokens": 500_000,
        },
        "Creator": {
            "credits": 5_000,
            "posts": 1_000,
            "clips_uploaded": 200,
            "clips_rendered": 600,
            "agent_runs": 500,
            "ai_tokens": 5_000_000,
        },
        "Agency": {"credits": 50_000, "agent_runs": 10_000, "ai_tokens": 50_000_000},
    },
    "onepin": {"Free": {"credits": 10_000}, "Studio": {"credits": 500_000}, "Enterprise": {"credits": 10_000_000}},
    "octolens": {
        "Free_trial": {"mentions": 500, "keywords": 5},
        "Pro_v3": {"mentions": 10_000, "keywords": 20},
        "Enterprise": {"mentions": 250_000, "keywords": 500},
    },
    "eight": {"Team": {"calls": 10, "tokens": 7, "slowest": 50, "mean": 40, "credits": 30}},
}
