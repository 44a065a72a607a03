SELECT organization, counted - stored AS gone
FROM (
    SELECT organization, sum(events) AS counted
    FROM rollups
    WHERE series = {series:UInt64}
    AND organization != ''
    AND width = 1
    GROUP BY organization ) AS rolled_up
LEFT JOIN (
    SELECT organization, toInt64(count()) AS stored
    FROM events
    WHERE namespace = {namespace:String}
    AND type = {type:String}
    AND commit <= (
        SELECT max(watermark)
        FROM rollups
        WHERE series = {series:UInt64}
        AND organization = '')
    GROUP BY organization ) AS there USING (organization)
WHERE gone > 0
ORDER BY gone DESC
LIMIT 100
