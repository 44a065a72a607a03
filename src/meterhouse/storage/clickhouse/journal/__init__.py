"""The write-ahead log: a commit is durable here before the engine has it."""
