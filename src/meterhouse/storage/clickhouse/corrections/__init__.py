"""What voids do to rollups, and what corrects an event."""
