CREATE OR REPLACE TABLE fresh_values (series UInt64, organization String, value String, slots Array(UInt32)) ENGINE = Memory
