SELECT count()
FROM events
WHERE commit BETWEEN {first:UInt64} AND {last:UInt64}
