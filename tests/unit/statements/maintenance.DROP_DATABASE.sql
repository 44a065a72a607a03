DROP DATABASE IF EXISTS {name}{on_cluster}
