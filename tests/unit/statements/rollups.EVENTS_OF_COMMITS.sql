SELECT commit, namespace, type, count()
FROM events
WHERE commit > {after:UInt64}
AND commit <= {upto:UInt64}
GROUP BY commit, namespace, type
ORDER BY commit
