"""Where data lives: events in ClickHouse, organizations in a SQL ledger."""
