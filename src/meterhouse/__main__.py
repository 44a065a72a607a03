"""`python -m meterhouse`."""

from .cli import main

main()
