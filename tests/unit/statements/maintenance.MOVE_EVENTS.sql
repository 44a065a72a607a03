RENAME TABLE {old}.events TO {new}.events{on_cluster}
