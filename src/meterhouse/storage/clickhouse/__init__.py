"""The event store on ClickHouse: `queries` is all its SQL, `chdb_engine` runs it in this process."""
