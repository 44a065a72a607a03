"""The events of the newest commits, in memory."""
