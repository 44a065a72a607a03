SELECT (
    SELECT count()
    FROM events) - (
    SELECT count()
    FROM events
    WHERE commit > {commit:UInt64})
