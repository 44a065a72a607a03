CREATE OR REPLACE TABLE rewrites ( place UInt64, data String, numbers Map(LowCardinality(String), Decimal(76, 28)) ) ENGINE = Join(ANY, LEFT, place)
SETTINGS persistent = 0
