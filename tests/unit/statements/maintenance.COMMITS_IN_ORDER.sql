SELECT store, commit
FROM commits
ORDER BY known_at, store, commit
SETTINGS max_bytes_before_external_sort = 200000000
