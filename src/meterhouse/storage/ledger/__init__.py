"""The ledger in SQL: organizations, keys, subscriptions and grants, on SQLite or PostgreSQL."""
