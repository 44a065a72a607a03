SELECT sum(length(source) + length(id) + length(data) + 100)
FROM events
WHERE commit > {after:UInt64}
AND commit <= {upto:UInt64}
