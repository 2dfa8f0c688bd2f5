-- What each daemon that shares this catalog told of itself last.
CREATE TABLE IF NOT EXISTS mk_node (
  node VARCHAR(100) NOT NULL,
  state_dir VARCHAR(255) NOT NULL,
  heard_ms BIGINT NOT NULL,
  report_json MEDIUMTEXT NOT NULL,
  PRIMARY KEY (node, state_dir)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
