ALTER TABLE events CLEAR PROJECTION by_identity
SETTINGS mutations_sync = 0
