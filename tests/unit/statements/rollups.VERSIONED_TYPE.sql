Tuple(Int64, UInt64, UInt32, String)
