SELECT identity
FROM events
WHERE commit > {commit:UInt64}
