INSERT INTO staged (series, organization, key, first, latest, said)
SELECT series AS series, organization AS organization, entity AS key, now_created AS first, now_latest AS latest, now_said AS said
FROM compared_entities
