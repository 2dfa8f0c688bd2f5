-- When each node has last read what it has of a set, and what it found: one row, the newest.
CREATE TABLE IF NOT EXISTS mk_verification (
  bk_id CHAR(36) NOT NULL,
  node VARCHAR(100) NOT NULL,
  run_id CHAR(36) NULL,
  state VARCHAR(16) NOT NULL,
  looked_ms BIGINT NOT NULL,
  copies_json MEDIUMTEXT NOT NULL,
  PRIMARY KEY (bk_id, node)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The evidence, compressed, in parts as before. What lies in mk_evidence stays there and is read as it is.
CREATE TABLE IF NOT EXISTS mk_evidence_zstd (
  bk_id CHAR(36) NOT NULL,
  part BIGINT NOT NULL,
  packed MEDIUMBLOB NOT NULL,
  PRIMARY KEY (bk_id, part)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
