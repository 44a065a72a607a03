INSERT INTO staged (series, organization, width, slot, events)
SELECT series AS series, organization AS organization, width AS width, toUInt32(place - place % width) AS slot, sum(gained) AS events
FROM compared_values ARRAY JOIN [toUInt8(1), toUInt8(96)] AS width
WHERE gained != 0
GROUP BY ALL
HAVING events != 0
