SELECT namespace, organization, type, time, source, id, identity, commit, position, stored_at, data, numbers
FROM events
WHERE commit > {after:UInt64}
AND commit <= {upto:UInt64}
AND ((organization = '*'
        AND type = 'meterhouse.retention') OR (namespace, organization) IN (
        SELECT namespace, organization
        FROM file({homes:String}, 'Native', 'namespace String, organization String') ))
SETTINGS max_threads = 1
