INSERT INTO staged (series, organization, width, slot, key)
SELECT series AS series, organization AS organization, width AS width, arrayJoin(arrayDistinct(arrayMap(slot -> toUInt32(slot - slot % width), shared))) AS slot, value AS key
FROM compared_values ARRAY JOIN [toUInt8(1), toUInt8(96)] AS width
WHERE notEmpty(shared)
