SELECT DISTINCT commit
FROM events
WHERE commit >= {commit:UInt64}
