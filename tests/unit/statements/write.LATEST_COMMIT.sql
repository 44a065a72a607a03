SELECT max(commit)
FROM events
WHERE commit >= {commit:UInt64}
