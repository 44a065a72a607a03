-- p0 = 11901747789270857272
-- p1 = 3612059863639408403
-- p2 = 8740962237316019841
-- p3 = 7047749806985430472
-- p4 = 4267151435622835425
INSERT INTO staged (series, organization, width, slot, key, state, events)
SELECT move.1 AS series, organization AS organization, width AS width, toUInt32(move.2 - move.2 % width) AS slot, move.3 AS key, move.4 AS state, sum(move.5) AS events
FROM (
    SELECT organization, arrayJoin(if(known, [({p0:UInt64}, toUInt32(intDiv(now_latest.1 - -2208988800000000, 900000000)), '', now_latest.4, toInt64(1)), ({p1:UInt64}, toUInt32(intDiv(now_latest.1 - -2208988800000000, 900000000)), now_said.4, now_latest.4, toInt64(1)), ({p2:UInt64}, toUInt32(intDiv(now_created - -2208988800000000, 900000000)), '', now_latest.4, toInt64(1)), ({p3:UInt64}, toUInt32(intDiv(now_created - -2208988800000000, 900000000)), now_said.4, now_latest.4, toInt64(1)), ({p0:UInt64}, toUInt32(intDiv(old_latest.1 - -2208988800000000, 900000000)), '', old_latest.4, toInt64(-1)), ({p1:UInt64}, toUInt32(intDiv(old_latest.1 - -2208988800000000, 900000000)), old_said.4, old_latest.4, toInt64(-1)), ({p2:UInt64}, toUInt32(intDiv(old_created - -2208988800000000, 900000000)), '', old_latest.4, toInt64(-1)), ({p3:UInt64}, toUInt32(intDiv(old_created - -2208988800000000, 900000000)), old_said.4, old_latest.4, toInt64(-1))], [({p0:UInt64}, toUInt32(intDiv(now_latest.1 - -2208988800000000, 900000000)), '', now_latest.4, toInt64(1)), ({p1:UInt64}, toUInt32(intDiv(now_latest.1 - -2208988800000000, 900000000)), now_said.4, now_latest.4, toInt64(1)), ({p2:UInt64}, toUInt32(intDiv(now_created - -2208988800000000, 900000000)), '', now_latest.4, toInt64(1)), ({p3:UInt64}, toUInt32(intDiv(now_created - -2208988800000000, 900000000)), now_said.4, now_latest.4, toInt64(1))])) AS move
    FROM compared_entities
    WHERE series = {p4:UInt64} ) ARRAY JOIN [toUInt8(1), toUInt8(96)] AS width
GROUP BY series, organization, width, slot, key, state
HAVING events != 0
