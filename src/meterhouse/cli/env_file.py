"""Settings from a file `.env` in the working directory."""

from __future__ import annotations

import io
import os
from collections.abc import MutableMapping
from pathlib import Path

from ..domain.errors import Invalid
from .terminal import errors

_PREFIX = "METERHOUSE_"
_MAX_BYTES = 1024 * 1024


def read_env_file(path: Path = Path(".env"), environment: MutableMapping[str, str] = os.environ) -> None:
    """Adds the file's METERHOUSE_* variables to the environment, and says their names on standard error.

    What the environment has already wins. Other programs' variables are left alone. Raises `Invalid`, naming the line.
    """
    if not path.is_file():
        return
    from dotenv.parser import parse_stream  # noqa: PLC0415 - only those who have the file need it

    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as wrong:
        raise Invalid(f"{path.absolute()} cannot be read: {wrong}") from None
    if len(text) > _MAX_BYTES:
        raise Invalid(f"{path.absolute()} is larger than {_MAX_BYTES} bytes")
    added = []
    for each in parse_stream(io.StringIO(text)):
        of_ours = (each.key or "").startswith(_PREFIX) or (each.error and _PREFIX in each.original.string)
        if of_ours and (each.error or each.key is None or each.value is None):
            raise Invalid(f"line {each.original.line} of {path.absolute()} is not like {_PREFIX}PORT=8000")
        if of_ours and each.key not in environment:
            environment[str(each.key)] = str(each.value)
            added.append(each.key)
    if added:
        names = ", ".join(map(str, added))
        errors.print(f"settings from {path.absolute()}: {names}", markup=False, highlight=False, soft_wrap=True)
