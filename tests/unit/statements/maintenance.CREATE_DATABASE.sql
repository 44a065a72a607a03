CREATE DATABASE IF NOT EXISTS {name}{on_cluster} COMMENT '{comment}'
