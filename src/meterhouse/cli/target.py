"""Which Meterhouse a command works on.

What talks to one, and what opens one, is imported when it is needed: together they take longer than most commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..settings import from_environment
from .terminal import Failed

if TYPE_CHECKING:
    from .client import Client

_URL = re.compile(r"https?://([^\s/?#:\[\]]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?(/[^\s?#]*)?")


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Target:
    """Which Meterhouse a command works on."""

    url: Annotated[str | None, Parameter(env_var="METERHOUSE_URL")] = None
    """A running server, like http://127.0.0.1:8000 or https://example.com/usage (with METERHOUSE_ADMIN_KEY set); else
    the data folder is opened."""
    data: Annotated[Path, Parameter(env_var="METERHOUSE_DATA")] = Path("meterhouse-data")
    """The data folder."""
    catalog: Annotated[tuple[Path, ...], Parameter(negative="")] = ()
    """A catalog file; may be repeated. The five built-in ones when none is named."""


@contextmanager
def connect(target: Target, *, engine: bool, makes: bool = False) -> Iterator[Client]:
    """A client for the target. `engine` says whether events are needed when the folder is opened here, `makes` whether
    the command may begin with a new one."""
    settings = from_environment()
    if target.url is not None:
        if settings.admin_key is None:
            raise Failed("set METERHOUSE_ADMIN_KEY to the server's admin key")
        if _URL.fullmatch(target.url) is None:
            raise Failed(
                f"--url or METERHOUSE_URL is {target.url[:80]!r}; it must be like http://127.0.0.1:8000 or "
                "https://example.com/usage"
            )
        from .client import remote  # noqa: PLC0415 - see above

        with remote(target.url, settings.admin_key) as client:
            yield client
        return
    if not makes and not target.data.exists():
        raise Failed(
            f"there is no data folder {target.data}: name a running server with --url or METERHOUSE_URL, or another "
            "folder with --data or METERHOUSE_DATA"
        )
    from ..wiring import open_meterhouse  # noqa: PLC0415 - see above
    from .client import client_of  # noqa: PLC0415 - see above

    settings = replace(settings, data=target.data, catalogs=target.catalog or settings.catalogs)
    with open_meterhouse(settings, engine=engine) as meterhouse, client_of(meterhouse) as client:
        yield client
