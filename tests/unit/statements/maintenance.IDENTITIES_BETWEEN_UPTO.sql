SELECT identity
FROM events
WHERE identity BETWEEN {first:UInt64} AND {last:UInt64} AND commit <= {commit:UInt64}
