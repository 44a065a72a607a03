INSERT INTO compared_entities
SELECT series, organization, entity, known, old_latest, old_created, old_said, if(known
    AND old_latest > latest, old_latest, latest) AS now_latest, if(known
    AND old_created < created, old_created, created) AS now_created, if(known
    AND old_said > s0, old_said, s0) AS now_said
FROM fresh_entities AS fresh
LEFT JOIN (
    SELECT series, organization, key AS entity, 1 AS known, max(latest) AS old_latest, min(first) AS old_created, max(said) AS old_said
    FROM rollups
    WHERE width = 0
    AND (series, organization, key) IN (
        SELECT series, organization, entity
        FROM fresh_entities)
    GROUP BY series, organization, entity ) AS old USING (series, organization, entity)
