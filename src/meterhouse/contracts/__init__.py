"""The published wire formats, one module each; `contract` says what such a module is made of."""

from __future__ import annotations

from . import aitronos, autoposting, octolens, onepin, unsiloed
from .contract import Contract

BUILT_IN: dict[str, Contract] = {
    contract.name: contract
    for contract in (
        autoposting.CONTRACT,
        aitronos.CONTRACT,
        unsiloed.CONTRACT,
        onepin.CONTRACT,
        octolens.CONTRACT,
    )
}
