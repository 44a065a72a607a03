OPTIMIZE TABLE staging FINAL
SETTINGS optimize_throw_if_noop = 1
