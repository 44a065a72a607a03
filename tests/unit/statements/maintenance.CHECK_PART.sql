CHECK TABLE events PART '{}'
SETTINGS check_query_single_value_result = 0, max_threads = 1
