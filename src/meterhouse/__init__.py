"""Meterhouse: exact, instant usage metering behind every usage endpoint."""
