"""The published wire formats, one module each; `contract` says what such a module is made of.

All are found the same way, ours and those of other packages: by an entry point of the group `meterhouse.contracts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points

import msgspec

from ..domain.errors import Invalid
from .contract import Contract

ENTRY_POINTS = "meterhouse.contracts"
RESERVED = (
    "/alerts",
    "/assets",
    "/docs",
    "/events",
    "/healthz",
    "/meters",
    "/metrics",
    "/openapi.json",
    "/organizations",
    "/portal",
    "/readyz",
    "/sign-in",
    "/sign-out",
    "/system",
    "/v1/alert-rules",
    "/v1/alerts",
    "/v1/audit-log",
    "/v1/backup",
    "/v1/corrections",
    "/v1/deliveries",
    "/v1/erasures",
    "/v1/events",
    "/v1/export",
    "/v1/migration",
    "/v1/namespaces",
    "/v1/operator-keys",
    "/v1/organizations",
    "/v1/query",
    "/v1/rollups",
    "/v1/webhook-endpoints",
)
"""Where Meterhouse's own paths begin."""

_NAME = re.compile(r"[a-z][a-z0-9]*", re.ASCII)
_PARAMETER = re.compile(r"\{[^}]*\}")


class ContractError(Invalid):
    """An installed contract cannot be used."""

    code = "contract"


@cache
def installed() -> dict[str, Contract]:
    """Every installed contract by its name. Raises `ContractError`, naming the package at fault."""
    found: dict[str, Contract] = {}
    owners: dict[str, str] = {}
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        package = entry.dist.name if entry.dist is not None else entry.value
        try:
            contract = entry.load()
        except (Exception, SystemExit) as wrong:
            raise ContractError(f"the contract {entry.name!r} of {package} cannot be loaded: {wrong!r}") from wrong
        if not isinstance(contract, Contract) or contract.name != entry.name:
            raise ContractError(f"{entry.value} of {package} must be a Contract whose name is {entry.name!r}")
        if _NAME.fullmatch(contract.name) is None:  # it becomes part of names of environment variables
            raise ContractError(f"the contract {contract.name!r} of {package} must be named with a-z and 0-9 only")
        for claim in (contract.name, *(path for route in contract.routes for path in route.paths)):
            template = _PARAMETER.sub("{}", claim)
            if template in owners:
                raise ContractError(f"{package} and {owners[template]} both have the contract or path {claim!r}")
            if claim.startswith(RESERVED):
                raise ContractError(f"the path {claim!r} of {package} is Meterhouse's own; choose another")
            owners[template] = package
        found[contract.name] = contract
    return found


def refuse_unknown(environment: Mapping[str, str], contracts: Iterable[Contract], others: Iterable[str]) -> None:
    """Raises `Invalid` for a variable that is no option of a contract, and says which known one is nearest.

    `others` are the variables that are not of contracts. Those without a value are passed over.
    """
    options = [variable for contract in contracts for variable in _variables(contract)]
    for variable, text in environment.items():
        if text and variable not in options:
            nearest = get_close_matches(variable, [*others, *options], 1)
            hint = f"did you mean {nearest[0]}?" if nearest else "docs/reference/settings.md lists them all"
            raise Invalid(f"{variable[:100]} is not a setting of Meterhouse; {hint}")


def _variables(contract: Contract) -> dict[str, str]:
    """The names of the contract's options by their variables."""
    prefix = _prefix(contract)
    return {prefix + name.upper(): name for name in type(contract.options).__struct_fields__}


def _prefix(contract: Contract) -> str:
    return f"METERHOUSE_{contract.name}_".upper()


def configured(contract: Contract, environment: Mapping[str, str]) -> Contract:
    """The contract with its options as the environment gives them. Raises `Invalid`, naming the variable."""
    kind, prefix, names = type(contract.options), _prefix(contract), _variables(contract)
    options = contract.options
    for variable, text in environment.items():
        if not variable.startswith(prefix) or not text:
            continue
        if variable not in names:
            raise Invalid(f"{variable} is not a setting of {contract.name}; there is {', '.join(names)}")
        given = msgspec.structs.asdict(options) | {names[variable]: text}
        try:
            options = msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as wrong:
            takes = msgspec.json.schema_components((kind,))[1][kind.__name__]["properties"][names[variable]]
            hint = ", ".join(map(str, takes.get("enum", ()))) or takes.get("description", "see its documentation")
            reason = str(wrong).partition(" - at")[0]
            raise Invalid(f"{variable} is {text[:40]!r}: {reason}; it takes: {hint}") from None
    return replace(contract, options=options)
