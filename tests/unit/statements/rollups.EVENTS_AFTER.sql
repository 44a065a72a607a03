SELECT count()
FROM events
WHERE commit > {commit:UInt64}
