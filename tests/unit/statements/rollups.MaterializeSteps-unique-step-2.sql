INSERT INTO compared_values
SELECT series, organization, value, earliest, newest, place, multiIf(NOT known, alone, was_alone
    AND NOT alone, -1, 0) AS gained, multiIf(alone, [], was_alone, arrayPushBack(slots, old), slots) AS shared
FROM (
    SELECT *, arrayMin(slots) AS earliest, arrayMax(slots) AS newest, if(known, old, earliest) AS place, earliest = newest
    AND earliest = place
    AND (NOT known OR was_alone) AS alone
    FROM fresh_values AS fresh
    LEFT JOIN (
        SELECT series, organization, key AS value, 1 AS known, toUInt32(min(first)) AS old, min(first) = max(last) AS was_alone
        FROM rollups
        WHERE width = 0
        AND (series, organization, key) IN (
            SELECT series, organization, value
            FROM fresh_values)
        GROUP BY series, organization, value ) AS seen USING (series, organization, value) )
