-- What became of each slot. All times are milliseconds since 1970-01-01 UTC. Identities compare byte by byte.
-- A job that only a person has run so far has no since_ms: it is here so that its last run is found.
CREATE TABLE IF NOT EXISTS mk_job (
  node VARCHAR(100) NOT NULL,
  job VARCHAR(100) NOT NULL,
  kind VARCHAR(16) NOT NULL,
  since_ms BIGINT NULL,
  last_slot_ms BIGINT NULL,
  forgotten_ms BIGINT NULL,
  schedule VARCHAR(1000) NULL,
  PRIMARY KEY (node, job)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The primary key is what makes a slot fire once.
CREATE TABLE IF NOT EXISTS mk_slot (
  node VARCHAR(100) NOT NULL,
  job VARCHAR(100) NOT NULL,
  slot_ms BIGINT NOT NULL,
  run_id CHAR(36) NOT NULL,
  PRIMARY KEY (node, job, slot_ms)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS mk_run (
  id CHAR(36) NOT NULL,
  node VARCHAR(100) NOT NULL,
  job VARCHAR(100) NOT NULL,
  kind VARCHAR(16) NOT NULL,
  trigger_kind VARCHAR(16) NOT NULL,
  slot_ms BIGINT NULL,
  state VARCHAR(16) NOT NULL,
  reason MEDIUMTEXT NULL,
  bk_id CHAR(36) NULL,
  requested_ms BIGINT NOT NULL,
  started_ms BIGINT NULL,
  finished_ms BIGINT NULL,
  log_path TEXT NULL,
  PRIMARY KEY (id),
  KEY mk_run_requested (requested_ms, id),
  KEY mk_run_node (node, requested_ms, id),
  KEY mk_run_job (job, node, requested_ms, id),
  KEY mk_run_state (state, requested_ms, id),
  KEY mk_run_node_state (node, state, requested_ms, id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE IF NOT EXISTS mk_attempt (
  id CHAR(36) NOT NULL,
  run_id CHAR(36) NOT NULL,
  number BIGINT NOT NULL,
  bk_id CHAR(36) NULL,
  work_dir TEXT NULL,
  state VARCHAR(16) NOT NULL,
  reason MEDIUMTEXT NULL,
  exit_status TEXT NULL,
  started_ms BIGINT NOT NULL,
  finished_ms BIGINT NULL,
  PRIMARY KEY (id),
  KEY mk_attempt_run (run_id, number)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
