"""Instants as the engine stores them: microseconds since 1970, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from ....domain.period import EPOCH, FIRST_INSTANT, LAST_INSTANT, parse_instant

Micros = npt.NDArray[np.int64]

_MICROSECOND = timedelta(microseconds=1)
_ZERO = np.uint8(ord("0"))
_LAYOUT = b"0000-00-00T00:00:00.000000"
"""How a time begins, with 0 for any digit. A fraction may have fewer digits, or be absent."""
_WHOLE_SECONDS = 19
_MANY = 20
"""Fewer texts cost less one by one."""
_ZONES = (b"Z", b"+00:00")


def micros(moment: datetime) -> int:
    """An instant in microseconds, exactly."""
    return (moment - EPOCH) // _MICROSECOND


def instant(microseconds: int) -> datetime:
    """The inverse of `micros`."""
    return EPOCH + microseconds * _MICROSECOND


_FIRST, _LAST = micros(FIRST_INSTANT), micros(LAST_INSTANT)


def micros_of(times: Sequence[str | datetime]) -> Micros:
    """Instants in microseconds; texts as `parse_instant` reads them. Raises `Invalid` when a text is no instant.

    Texts in UTC in the layout that nearly everybody writes are read at once, all others one by one.
    """
    found = np.empty(len(times), dtype=np.int64)
    by_length: dict[int, tuple[list[int], list[str]]] = {}
    for row, time in enumerate(times):
        if isinstance(time, str):
            rows, texts = by_length.setdefault(len(time), ([], []))
            rows.append(row)
            texts.append(time)
        else:
            found[row] = micros(time)
    for rows, texts in by_length.values():
        plain = _plain_micros(texts) if len(texts) >= _MANY else None
        found[rows] = [micros(parse_instant(text)) for text in texts] if plain is None else plain
    return found


def _plain_micros(texts: Sequence[str]) -> Micros | None:
    """Texts of one length; None unless all of them have the plain layout and name an instant."""
    try:
        encoded = "".join(texts).encode("ascii")
    except UnicodeEncodeError:
        return None
    zone = next((zone for zone in _ZONES if encoded.endswith(zone)), None)
    if zone is None:
        return None
    characters = np.frombuffer(encoded, dtype=np.uint8).reshape(len(texts), -1)
    local = characters[:, : -len(zone)]
    width = local.shape[1]
    if not (width == _WHOLE_SECONDS or _WHOLE_SECONDS + 2 <= width <= len(_LAYOUT)):
        return None
    layout = np.frombuffer(_LAYOUT[:width] + zone, dtype=np.uint8)
    digits = layout == _ZERO
    digits[width:] = False
    # Below zero the difference of unsigned numbers is large.
    if (characters[:, ~digits] != layout[~digits]).any() or (characters[:, digits] - _ZERO > 9).any():
        return None
    try:
        instants = np.ascontiguousarray(local).view(f"S{width}")[:, 0].astype("datetime64[us]").astype(np.int64)
    except ValueError:
        return None  # a day that its month does not have, for instance
    return instants if instants.min() >= _FIRST and instants.max() < _LAST else None
