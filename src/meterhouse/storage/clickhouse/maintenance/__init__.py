"""Changing stored events in place, and looking after what is stored."""
