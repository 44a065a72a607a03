ALTER TABLE events MATERIALIZE PROJECTION by_identity
SETTINGS mutations_sync = 0
