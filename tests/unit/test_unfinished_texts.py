"""Dividing bodies that are no sound JSON: it takes no longer than they are."""

from __future__ import annotations

import subprocess
import sys

import pytest

SPLITS = """
import sys
from meterhouse.domain.errors import Invalid
from meterhouse.services.ingest import split_events
try:
    split_events(sys.stdin.buffer.read(), lines=False)
except Invalid as wrong:
    print(wrong)
"""


@pytest.mark.parametrize("repeated", [b'"\\', b"\\", b'\\"', b'"', b'["\\'])
def test_a_text_without_an_end_is_found_at_once(repeated: bytes) -> None:
    body = b'[NaN, "' + repeated * 1_000_000
    told = subprocess.run([sys.executable, "-c", SPLITS], input=body, capture_output=True, timeout=60, check=True)
    assert told.stdout.startswith((b"the body is not JSON", b"too many events"))
