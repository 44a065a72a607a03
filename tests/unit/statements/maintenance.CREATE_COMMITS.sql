CREATE TABLE commits (store UInt32, commit UInt64, known_at Int64) ENGINE = MergeTree
ORDER BY known_at
