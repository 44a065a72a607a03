"""Slots: the quarters of an hour that all time is divided into."""

from __future__ import annotations

from datetime import datetime, timedelta

from .period import FIRST_INSTANT

SLOT = timedelta(minutes=15)
"""Divides the offset of every zone from UTC that is in use, so that local days, weeks and months are made of slots."""
SLOTS_PER_DAY = 96


def slot_at(instant: datetime) -> int:
    """The slot that holds the instant; slot 0 begins with the first instant that an event may have."""
    return (instant - FIRST_INSTANT) // SLOT


def slot_begin(slot: int) -> datetime:
    """The instant that a slot begins at."""
    return FIRST_INSTANT + slot * SLOT
