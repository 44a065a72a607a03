"""Appending events."""
