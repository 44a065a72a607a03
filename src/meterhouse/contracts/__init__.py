"""The published wire formats, one module each; `contract` says what such a module is made of.

All are found the same way, ours and those of other packages: by an entry point of the group `meterhouse.contracts`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from typing import TypeAlias, TypeVar

import msgspec

from ..domain.errors import Invalid
from .contract import Contract
from .namespace_contract import NamespaceContract

ENTRY_POINTS = "meterhouse.contracts"
OF_NAMESPACES = "meterhouse.namespace_contracts"
AnyContract: TypeAlias = Contract | NamespaceContract
C = TypeVar("C", Contract, NamespaceContract)
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
    "/v1/otlp",
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


@dataclass(frozen=True, slots=True)
class Contracts:
    """Those that a server speaks, with the options that its operator set."""

    of_organizations: dict[str, Contract]
    of_namespaces: tuple[NamespaceContract, ...]


def load_contracts(environment: Mapping[str, str], others: Iterable[str]) -> Contracts:
    """All that is installed. Raises `ContractError`, and `Invalid` for a variable: see `refuse_unknown`."""
    contracts = {name: configured(contract, environment) for name, contract in installed().items()}
    of_namespaces = tuple(configured(each, environment) for each in installed_of_namespaces().values())
    refuse_unknown(environment, [*contracts.values(), *of_namespaces], others)
    refuse_collisions(of_namespaces, contracts.values())
    return Contracts(contracts, of_namespaces)


@cache
def installed() -> dict[str, Contract]:
    """Every installed contract of organizations by its name. Raises `ContractError`, naming the package at fault."""
    found: dict[str, Contract] = {}
    owners: dict[str, str] = {}
    for package, contract in _loaded(ENTRY_POINTS, Contract):
        for claim in (contract.name, *(path for route in contract.routes for path in route.paths)):
            template = _PARAMETER.sub("{}", claim)
            if template in owners:
                raise ContractError(f"{package} and {owners[template]} both have the contract or path {claim!r}")
            if claim.startswith(RESERVED):
                raise ContractError(f"the path {claim!r} of {package} is Meterhouse's own; choose another")
            owners[template] = package
        found[contract.name] = contract
    return found


@cache
def installed_of_namespaces() -> dict[str, NamespaceContract]:
    """Every installed contract of namespaces by its name. Raises `ContractError`, naming the package at fault."""
    found: dict[str, NamespaceContract] = {}
    taken = [path for contract in installed().values() for route in contract.routes for path in route.paths]
    for package, contract in _loaded(OF_NAMESPACES, NamespaceContract):
        if contract.name in found or contract.name in installed():
            raise ContractError(f"the contract {contract.name!r} of {package} is there twice")
        if any(f"{path}/".startswith(f"{contract.prefix}/") for path in (*taken, *RESERVED)):
            raise ContractError(f"paths below {contract.prefix!r} of {package} are there already; choose another name")
        found[contract.name] = contract
    return found


def refuse_collisions(contracts: Iterable[NamespaceContract], others: Iterable[Contract]) -> None:
    """Raises `Invalid` for a contract that is to be at the root, where a path of it is another's."""
    owners = {
        ("GET", _PARAMETER.sub("{}", path)): other.name
        for other in others
        for route in other.routes
        for path in route.paths
    }
    for contract in contracts:
        if not contract.options.at_root:
            continue
        variable = f"{_prefix(contract)}AT_ROOT"
        for each in contract.operations:
            place = each.method, _PARAMETER.sub("{}", each.path)
            owner = "Meterhouse itself" if each.path.startswith(RESERVED) else owners.get(place)
            if owner is not None:
                raise Invalid(
                    f"{variable}: {each.method} {each.path} is a path of {owner}; use {contract.prefix} instead"
                )
            owners[place] = contract.name


def _loaded(group: str, kind: type[C]) -> Iterator[tuple[str, C]]:
    """What is installed of a group, each with the package that it is of. Raises `ContractError`."""
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        package = entry.dist.name if entry.dist is not None else entry.value
        try:
            contract = entry.load()
        except (Exception, SystemExit) as wrong:
            raise ContractError(f"the contract {entry.name!r} of {package} cannot be loaded: {wrong!r}") from wrong
        if not isinstance(contract, kind) or contract.name != entry.name:
            raise ContractError(f"{entry.value} of {package} must be a {kind.__name__} whose name is {entry.name!r}")
        if _NAME.fullmatch(contract.name) is None:  # it becomes part of names of environment variables
            raise ContractError(f"the contract {contract.name!r} of {package} must be named with a-z and 0-9 only")
        yield package, contract


def refuse_unknown(environment: Mapping[str, str], contracts: Iterable[AnyContract], others: Iterable[str]) -> None:
    """Raises `Invalid` for a variable that is no option of a contract, and says which known one is nearest.

    `others` are the variables that are not of contracts. Those without a value are passed over.
    """
    options = [variable for contract in contracts for variable in _variables(contract)]
    for variable, text in environment.items():
        if text and variable not in options:
            nearest = get_close_matches(variable, [*others, *options], 1)
            hint = f"did you mean {nearest[0]}?" if nearest else "docs/reference/settings.md lists them all"
            raise Invalid(f"{variable[:100]} is not a setting of Meterhouse; {hint}")


def _variables(contract: AnyContract) -> dict[str, str]:
    """The names of the contract's options by their variables."""
    prefix = _prefix(contract)
    return {prefix + name.upper(): name for name in type(contract.options).__struct_fields__}


def _prefix(contract: AnyContract) -> str:
    return f"METERHOUSE_{contract.name}_".upper()


def configured(contract: C, environment: Mapping[str, str]) -> C:
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
