SELECT name, comment, name IN (
    SELECT database
    FROM system.tables
    WHERE name = 'events')
FROM system.databases
WHERE startsWith(name, {prefix:String})
ORDER BY name
