-- What restore tests found, and who works on what.
CREATE TABLE IF NOT EXISTS mk_proof (
  id TEXT NOT NULL,
  bk_id TEXT NOT NULL,
  run_id TEXT NULL,
  node TEXT NOT NULL,
  path TEXT NOT NULL,
  sandbox_version TEXT NOT NULL,
  loader_version TEXT NOT NULL,
  passed INTEGER NOT NULL,
  started_ms INTEGER NOT NULL,
  finished_ms INTEGER NOT NULL,
  PRIMARY KEY (id)
);
CREATE UNIQUE INDEX IF NOT EXISTS mk_proof_once ON mk_proof (bk_id, run_id, started_ms);
CREATE INDEX IF NOT EXISTS mk_proof_set ON mk_proof (bk_id, finished_ms);

CREATE TABLE IF NOT EXISTS mk_proof_database (
  proof_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  db TEXT NOT NULL,
  passed INTEGER NOT NULL,
  differences_json TEXT NOT NULL,
  error TEXT NULL,
  objects_compared INTEGER NOT NULL,
  rows_compared INTEGER NOT NULL,
  started_ms INTEGER NOT NULL,
  finished_ms INTEGER NOT NULL,
  PRIMARY KEY (proof_id, number)
);

CREATE TABLE IF NOT EXISTS mk_lease (
  name TEXT NOT NULL,
  holder TEXT NOT NULL,
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (name)
) WITHOUT ROWID;
