-- When each node has last read what it has of a set, and what it found: one row, the newest.
CREATE TABLE IF NOT EXISTS mk_verification (
  bk_id TEXT NOT NULL,
  node TEXT NOT NULL,
  run_id TEXT NULL,
  state TEXT NOT NULL,
  looked_ms INTEGER NOT NULL,
  copies_json TEXT NOT NULL,
  PRIMARY KEY (bk_id, node)
);

-- The evidence, compressed, in parts as before. What lies in mk_evidence stays there and is read as it is.
CREATE TABLE IF NOT EXISTS mk_evidence_zstd (
  bk_id TEXT NOT NULL,
  part INTEGER NOT NULL,
  packed BLOB NOT NULL,
  PRIMARY KEY (bk_id, part)
);
