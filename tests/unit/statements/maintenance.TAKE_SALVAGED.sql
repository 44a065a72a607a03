INSERT INTO events
SELECT *
FROM salvaged
