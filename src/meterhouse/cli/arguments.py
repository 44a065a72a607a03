"""What many commands take."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", negative="", help="Prints JSON, for scripts.")]
Organization = Annotated[str, Parameter(help="The organization's id.")]
Namespace = Annotated[str | None, Parameter(help="Only those of this namespace.")]


def given(**parameters: object) -> dict[str, str]:
    """The parameters of a query that are not None, as they are written."""
    return {name: str(value) for name, value in parameters.items() if value is not None}


def shown_default(value: Any) -> Any:
    """A default as the help shows it; None for what says nothing: empty, or not set."""
    return value or None
