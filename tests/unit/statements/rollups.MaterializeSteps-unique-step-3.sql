TRUNCATE TABLE fresh_values
