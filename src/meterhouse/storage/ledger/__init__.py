"""The ledger in SQL: organizations, keys and subscriptions, on SQLite or PostgreSQL."""
