"""Rows of a PostgreSQL table or query, in the order of a column that grows."""
