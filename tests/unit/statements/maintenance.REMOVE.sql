ALTER TABLE events DELETE
WHERE namespace = {namespace:String}
AND organization = {organization:String}
AND type != 'meterhouse.removal'
AND commit <= {commit:UInt64}
SETTINGS mutations_sync = 0
