DROP TABLE salvaged
