"""The command line: `serve` and `demo` run a server, everything else talks to one, or to a data folder."""

from __future__ import annotations

import gc
import sys

from cyclopts import App, Parameter

from ..domain.errors import MeterhouseError
from ..settings import from_environment
from . import (
    accounts,
    alerts,
    backup_export,
    catalog_versions,
    catalogs,
    completion,
    corrections,
    events,
    grants,
    integrity,
    migrate,
    operators,
    prices,
    query,
    reshard,
    rollups,
    serve,
    sources,
    usage,
    webhooks,
)
from .arguments import shown_default
from .env_file import read_env_file
from .logs import configure_logging
from .terminal import Failed, fail

app = App(
    name="meterhouse",
    help=(
        "Meters what organizations use and answers exactly and at once.\n\n"
        "Tables are for people; --json prints the same for scripts. `ingest` reads NDJSON, CSV and Parquet files."
    ),
    version_flags=["--version"],
    help_format="plaintext",
    result_action="return_value",
    default_parameter=Parameter(show_default=shown_default),
)


for module in (
    serve,
    events,
    sources,
    usage,
    query,
    corrections,
    accounts,
    grants,
    alerts,
    webhooks,
    catalogs,
    catalog_versions,
    operators,
    prices,
    rollups,
    backup_export,
    integrity,
    reshard,
    migrate,
    completion,
):
    module.register(app)


def main(arguments: list[str] | None = None) -> None:
    """Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 done, but some events were not ingested."""
    try:
        read_env_file()
        configure_logging(from_environment().log_level)
        code = app(arguments if arguments is not None else sys.argv[1:], exit_on_error=True)
    except (MeterhouseError, Failed) as wrong:
        fail(str(wrong))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()  # everything is closed; to look through it for garbage takes Python a third of a second
    sys.exit(code if isinstance(code, int) else 0)
