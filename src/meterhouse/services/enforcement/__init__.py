"""Limits that hold: deciding what there is room for, before it is used."""

from .enforcement import Enforcement
from .errors import QuotaExceeded, ReservationClosed, ReservationMismatch

__all__ = ["Enforcement", "QuotaExceeded", "ReservationClosed", "ReservationMismatch"]
