"""What keys and tokens look like and may do, by the contract that a namespace speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .contracts.contract import BASE62, Contract, TokenOptions
from .domain.catalog import Catalog
from .domain.organization import KeyFormat
from .ports.clock import Clock
from .services.accounts import EVENTS_WRITE, USAGE_READ, KeyPolicy
from .services.catalogs import Catalogs

_OWN_KEYS = KeyPolicy(
    KeyFormat("mh_live_", BASE62, 32),
    default_scopes=frozenset({USAGE_READ}),
    scopes=frozenset({USAGE_READ, EVENTS_WRITE}),
    reading=frozenset({USAGE_READ}),
)
"""For namespaces whose organizations speak no contract but our own."""


@dataclass(frozen=True, slots=True)
class KeyPolicies(Mapping[str, KeyPolicy]):
    """Those of all namespaces that there are at the moment."""

    catalogs: Catalogs
    contracts: dict[str, Contract]

    def __getitem__(self, namespace: str) -> KeyPolicy:
        """Raises `KeyError` for an unknown one."""
        catalog = self.catalogs.find(namespace)
        if catalog is None:
            raise KeyError(namespace)
        return _key_policy(catalog, self.contracts)

    def __iter__(self) -> Iterator[str]:
        """All namespaces."""
        return (catalog.namespace for catalog in self.catalogs)

    def __len__(self) -> int:
        """How many there are."""
        return sum(1 for _ in self.catalogs)


def _key_policy(catalog: Catalog, contracts: dict[str, Contract]) -> KeyPolicy:
    if catalog.contract is None:
        return _OWN_KEYS
    contract = contracts[catalog.contract]
    reading = contract.default_scopes | frozenset(contract.scope_order)
    return KeyPolicy(contract.key_format, contract.default_scopes, contract.scopes, reading)


def token_verifiers(
    contracts: dict[str, Contract], clock: Clock
) -> Mapping[str, Callable[[str], Mapping[str, Any] | None]]:
    """One for each contract that was told whose tokens to take."""
    verifiers = {}
    for name, contract in contracts.items():
        if isinstance(options := contract.options, TokenOptions) and options.jwks:
            from .http.tokens import TokenVerifier  # noqa: PLC0415 - 40 ms that only those with tokens need

            verifiers[name] = TokenVerifier(
                options.jwks, options.issuer or None, options.audience or None, clock
            ).verify
    return verifiers
