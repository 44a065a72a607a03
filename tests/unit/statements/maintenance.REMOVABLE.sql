SELECT count()
FROM events
WHERE namespace = {namespace:String}
AND organization = {organization:String}
AND type != 'meterhouse.removal'
AND commit <= {commit:UInt64}
