SELECT previous + 1, commit - 1, since, until
FROM (
    SELECT commit, lagInFrame(commit) OVER w AS previous, toUnixTimestamp64Micro(first) AS until, toUnixTimestamp64Micro(lagInFrame(last) OVER w) AS since
    FROM (
        SELECT commit, min(stored_at) AS first, max(stored_at) AS last
        FROM events
        GROUP BY commit
        UNION ALL
        SELECT {commit:UInt64} + 1, toDateTime64(0, 6, 'UTC'), toDateTime64(0, 6, 'UTC') ) WINDOW w AS (
        ORDER BY commit ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) )
WHERE commit > previous + 1
AND commit <= {commit:UInt64} + 1
ORDER BY commit
LIMIT 100
