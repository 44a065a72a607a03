"""What events are read from beside files: tables of PostgreSQL, topics of Kafka.

How far one has been read is noted after its events are stored, never before: whatever ends the command, the same events
are sent once more, and are duplicates.
"""
