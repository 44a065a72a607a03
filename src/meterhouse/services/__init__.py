"""Use cases: taking events in, answering usage, keeping accounts."""
