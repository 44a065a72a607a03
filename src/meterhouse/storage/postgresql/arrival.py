"""The move of a running server into a cluster, as the cluster sees it: how far it is, written down before each step.

`Beginning`: what the shards have may be of others. `Copying`: they had nothing, so that what there is may be dropped.
`Ready`: all of it is there, and has arrived as soon as the server has written down that it moved. `Arrived`: nodes
serve it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

UNFINISHED = (
    "a server is being moved into this cluster, and that is not finished: wait for it, or repeat `meterhouse migrate`"
)


class Step(StrEnum):
    """In this order; a repetition goes from each of the first three back to `BEGINNING` or `COPYING`."""

    BEGINNING = "beginning"
    COPYING = "copying"
    READY = "ready"
    ARRIVED = "arrived"


class Arrival(msgspec.Struct, frozen=True):
    """How far a move is."""

    attempt: str
    """Tells one attempt from another."""
    step: Step
    migration: str = ""
    """What the server calls it."""

    @property
    def unfinished(self) -> bool:
        """Whether nodes must wait for it."""
        return self.step is not Step.ARRIVED


def encode_arrival(arrival: Arrival | None) -> str | None:
    """As it is kept."""
    return None if arrival is None else msgspec.json.encode(arrival).decode()


def decode_arrival(text: str | None) -> Arrival | None:
    """One that was kept."""
    return None if text is None else msgspec.json.decode(text, type=Arrival)
