"""Several shards, each in a process of its own: which has what, and how they ask each other."""
