"""What keys look like and may do, by the contract that a namespace speaks."""

from __future__ import annotations

from .contracts.contract import BASE62, Contract
from .domain.catalog import Catalog
from .domain.organization import KeyFormat
from .services.accounts import EVENTS_WRITE, USAGE_READ, KeyPolicy

_OWN_KEYS = KeyPolicy(
    KeyFormat("mh_live_", BASE62, 32),
    default_scopes=frozenset({USAGE_READ}),
    scopes=frozenset({USAGE_READ, EVENTS_WRITE}),
    reading=frozenset({USAGE_READ}),
)
"""For namespaces whose organizations speak no contract but our own."""


def key_policy(catalog: Catalog, contracts: dict[str, Contract]) -> KeyPolicy:
    """That of a catalog's namespace."""
    if catalog.contract is None:
        return _OWN_KEYS
    contract = contracts[catalog.contract]
    reading = contract.default_scopes | frozenset(contract.scope_order)
    return KeyPolicy(contract.key_format, contract.default_scopes, contract.scopes, reading)
