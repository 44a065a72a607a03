CREATE OR REPLACE TABLE compared_values (series UInt64, organization String, value String, earliest UInt32, newest UInt32, place UInt32, gained Int64, shared Array(UInt32)) ENGINE = Memory
