"""What the use cases need from the outside, one small port for each kind of caller.

The docstrings are the specification; tests/conformance holds every implementation to them. All methods may be called
from many threads at once and block the calling thread.
"""
