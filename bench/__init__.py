"""Benchmarks: one canonical workload, measured beside what bounds it. `make bench`, or tiny in the tests."""
