"""Paths into an event's data, as OpenMeter writes them: `$.user.id`, `$['user']['id']`."""

from __future__ import annotations

import re

from .wire import bad_field

_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(?:'([^'\\]+)'|\"([^\"\\]+)\")\]")
_INDEX = re.compile(r"\[[0-9*]")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


def property_path(field: str, text: str) -> str:
    """The path of a property as catalogs write it. Raises `Refuse` for what is no path, or leads into an array."""
    names, place = [], 1
    if not text.startswith("$"):
        raise bad_field(field, f"{text[:80]!r} is not a JSONPath: it begins with $")
    while place < len(text):
        step = _STEP.match(text, place)
        if step is None:
            reason = "positions in arrays are not supported" if _INDEX.match(text, place) else "cannot be read"
            raise bad_field(field, f"{text[:80]!r}: {reason} at {text[place : place + 20]!r}")
        names.append(step[1] or step[2] or step[3])
        place = step.end()
    if not names:
        raise bad_field(field, f"{text!r} names no property")
    return ".".join(names)


def json_path(path: str) -> str:
    """The same the other way round."""
    return "$" + "".join(f".{name}" if _PLAIN.fullmatch(name) else f"['{name}']" for name in path.split("."))
