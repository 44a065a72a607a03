ALTER TABLE events UPDATE data = joinGet('default.rewrites', 'data', commit * 4294967296 + position), numbers = joinGet('default.rewrites', 'numbers', commit * 4294967296 + position)
WHERE commit * 4294967296 + position IN (
    SELECT place
    FROM default.rewrites)
SETTINGS mutations_sync = 0
