INSERT INTO staged (series, organization, key, first, last)
SELECT series AS series, organization AS organization, value AS key, earliest AS first, newest AS last
FROM compared_values
