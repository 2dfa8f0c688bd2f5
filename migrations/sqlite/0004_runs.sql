-- What became of each slot. All times are milliseconds since 1970-01-01 UTC. Identities compare byte by byte.
CREATE TABLE IF NOT EXISTS mk_job (
  node TEXT NOT NULL,
  job TEXT NOT NULL,
  kind TEXT NOT NULL,
  since_ms INTEGER NOT NULL,
  last_slot_ms INTEGER NULL,
  forgotten_ms INTEGER NULL,
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
CREATE INDEX IF NOT EXISTS mk_run_requested ON mk_run (requested_ms);
CREATE INDEX IF NOT EXISTS mk_run_job ON mk_run (node, job, requested_ms, state);
CREATE INDEX IF NOT EXISTS mk_run_job_alone ON mk_run (job, requested_ms);
CREATE INDEX IF NOT EXISTS mk_run_state ON mk_run (state, requested_ms);
CREATE INDEX IF NOT EXISTS mk_run_kind ON mk_run (kind, requested_ms);

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
