"""Which identities are known."""
