"""Something long, piece by piece."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

Chunks: TypeAlias = Generator[bytes, None, None]
"""Its bytes in order. Whoever does not read it to its end closes it."""
