-- What restore tests found, and who works on what.
CREATE TABLE IF NOT EXISTS mk_proof (
  id CHAR(36) NOT NULL,
  bk_id CHAR(36) NOT NULL,
  run_id CHAR(36) NULL,
  node VARCHAR(100) NOT NULL,
  path TEXT NOT NULL,
  sandbox_version TEXT NOT NULL,
  loader_version TEXT NOT NULL,
  passed SMALLINT NOT NULL,
  started_ms BIGINT NOT NULL,
  finished_ms BIGINT NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY mk_proof_once (bk_id, run_id, started_ms),
  KEY mk_proof_set (bk_id, finished_ms)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS mk_proof_database (
  proof_id CHAR(36) NOT NULL,
  number BIGINT NOT NULL,
  db TEXT NOT NULL,
  passed SMALLINT NOT NULL,
  differences_json LONGTEXT NOT NULL,
  error MEDIUMTEXT NULL,
  objects_compared BIGINT NOT NULL,
  rows_compared BIGINT NOT NULL,
  started_ms BIGINT NOT NULL,
  finished_ms BIGINT NOT NULL,
  PRIMARY KEY (proof_id, number)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS mk_lease (
  name VARCHAR(255) NOT NULL,
  holder VARCHAR(255) NOT NULL,
  until_ms BIGINT NOT NULL,
  PRIMARY KEY (name)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
