"""Several shards as one: what is asked of all of them."""
