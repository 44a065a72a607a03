SELECT max(commit), count()
FROM events
