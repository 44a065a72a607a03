"""What the nodes of a cluster share in PostgreSQL beside the ledger: leases, journals, manifests, and who is there."""
