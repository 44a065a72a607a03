"""Partial aggregates of 15 minutes and days, and the commit up to which they are materialized."""
