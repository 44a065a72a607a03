"""Files and other sources as people have them: each row, line or message becomes an event, or is told by its place."""
