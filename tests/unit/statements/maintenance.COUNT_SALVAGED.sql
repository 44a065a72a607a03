SELECT count()
FROM salvaged
