-- What became of each slot. All times are milliseconds since 1970-01-01 UTC. Identities compare byte by byte.
-- A job that only a person has run so far has no since_ms: it is here so that its last run is found.
CREATE TABLE IF NOT EXISTS mk_job (
  node TEXT NOT NULL,
  job TEXT NOT NULL,
  kind TEXT NOT NULL,
  since_ms INTEGER NULL,
  last_slot_ms INTEGER NULL,
  forgotten_ms INTEGER NULL,
  schedule TEXT NULL,
  PRIMARY KEY (node, job)
) WITHOUT ROWID;

-- The primary key is what makes a slot fire once.
CREATE TABLE IF NOT EXISTS mk_slot (
  node TEXT NOT NULL,
  job TEXT NOT NULL,
  slot_ms INTEGER NOT NULL,
  run_id TEXT NOT NULL,
  PRIMARY KEY (node, job, slot_ms)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS mk_run (
  id TEXT NOT NULL,
  node TEXT NOT NULL,
  job TEXT NOT NULL,
  kind TEXT NOT NULL,
  trigger_kind TEXT NOT NULL,
  slot_ms INTEGER NULL,
  state TEXT NOT NULL,
  reason TEXT NULL,
  bk_id TEXT NULL,
  requested_ms INTEGER NOT NULL,
  started_ms INTEGER NULL,
  finished_ms INTEGER NULL,
  log_path TEXT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS mk_run_requested ON mk_run (requested_ms, id);
CREATE INDEX IF NOT EXISTS mk_run_node ON mk_run (node, requested_ms, id);
CREATE INDEX IF NOT EXISTS mk_run_job ON mk_run (job, node, requested_ms, id);
CREATE INDEX IF NOT EXISTS mk_run_state ON mk_run (state, requested_ms, id);
CREATE INDEX IF NOT EXISTS mk_run_node_state ON mk_run (node, state, requested_ms, id);

CREATE TABLE IF NOT EXISTS mk_attempt (
  id TEXT NOT NULL,
  run_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  bk_id TEXT NULL,
  work_dir TEXT NULL,
  state TEXT NOT NULL,
  reason TEXT NULL,
  exit_status TEXT NULL,
  started_ms INTEGER NOT NULL,
  finished_ms INTEGER NULL,
  PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS mk_attempt_run ON mk_attempt (run_id, number);
