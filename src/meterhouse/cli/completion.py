"""`meterhouse completion`."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import App, Parameter

Shell = Annotated[Literal["bash", "zsh", "fish"], Parameter(help="The shell.")]


def register(app: App) -> None:
    """Adds the command, which knows all those of the application."""

    @app.command
    def completion(shell: Shell) -> None:
        """Prints the script by which a shell completes commands, options and their values."""
        sys.stdout.write(app.generate_completion(shell=shell))
