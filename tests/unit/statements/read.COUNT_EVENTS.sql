SELECT count()
FROM events
