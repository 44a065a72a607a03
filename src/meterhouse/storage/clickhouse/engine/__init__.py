"""The ClickHouse below the store: its port, chDB, its formats, its tables."""
