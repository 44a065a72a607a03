-- p0 = 15283822679135515944
-- p1 = 'input'
-- p2 = 'output'
-- p3 = 15557735203591234508
-- p4 = 'ns'
-- p5 = 'call'
-- p6 = 3
-- p7 = 7
INSERT INTO staged (organization, width, slot, key, series, events, total)
SELECT organization AS organization, place.2 AS width, place.3 AS slot, place.4 AS key, row.1 AS series, row.2 AS events, row.3 AS total
FROM (
    SELECT organization, place, arrayJoin(multiIf(place.1 = 0, [({p0:UInt64}, sum0, sum1), ({p3:UInt64}, sum0, sum2)], [])) AS row
    FROM (
        SELECT organization, place, sum(part0) AS sum0, sum(part1) AS sum1, sum(part2) AS sum2
        FROM (
            SELECT *, arrayJoin([(toUInt8(0), toUInt8(1), toUInt32(quarter - quarter % 1), ''), (toUInt8(0), toUInt8(96), toUInt32(quarter - quarter % 96), '')]) AS place
            FROM (
                SELECT organization, toUInt32(intDiv(toUnixTimestamp64Micro(time) - -2208988800000000, 900000000)) AS quarter, toInt64(countIf(mapContains(numbers, {p1:String})
                        AND mapContains(numbers, {p2:String}))) AS part0, sumIf(numbers[{p1:String}], mapContains(numbers, {p1:String})
                    AND mapContains(numbers, {p2:String})) AS part1, sumIf(numbers[{p2:String}], mapContains(numbers, {p1:String})
                    AND mapContains(numbers, {p2:String})) AS part2
                FROM events
                WHERE namespace = {p4:String}
                AND type = {p5:String}
                AND commit > {p6:UInt64}
                AND commit <= {p7:UInt64}
                GROUP BY ALL))
        GROUP BY organization, place))
WHERE row.2 > 0
