-- What belongs to a set: its files, its evidence, and its way to its destinations.
CREATE TABLE IF NOT EXISTS mk_file (
  bk_id TEXT NOT NULL,
  number INTEGER NOT NULL,
  path TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  blake3 TEXT NOT NULL,
  plain_bytes INTEGER NOT NULL,
  data_rows INTEGER NULL,
  PRIMARY KEY (bk_id, number)
) WITHOUT ROWID;

-- JSON in parts, as on MySQL, where one statement cannot be larger than max_allowed_packet.
CREATE TABLE IF NOT EXISTS mk_evidence (
  bk_id TEXT NOT NULL,
  part INTEGER NOT NULL,
  json TEXT NOT NULL,
  PRIMARY KEY (bk_id, part)
);

-- Where a set should be and whether it is there: what the attempts in mk_transfer have come to, so that what is
-- pending among a million sets is found through an index.
CREATE TABLE IF NOT EXISTS mk_delivery (
  bk_id TEXT NOT NULL,
  destination TEXT NOT NULL,
  node TEXT NOT NULL,
  arrived INTEGER NOT NULL,
  ended_ms INTEGER NULL,
  PRIMARY KEY (bk_id, destination)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS mk_delivery_due ON mk_delivery (node, destination, arrived, ended_ms);

CREATE TABLE IF NOT EXISTS mk_transfer (
  id TEXT NOT NULL,
  run_id TEXT NULL,
  bk_id TEXT NOT NULL,
  node TEXT NOT NULL,
  destination TEXT NOT NULL,
  target TEXT NOT NULL,
  number INTEGER NOT NULL,
  purpose TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NULL,
  sent_bytes INTEGER NULL,
  started_ms INTEGER NOT NULL,
  finished_ms INTEGER NULL,
  PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS mk_transfer_set ON mk_transfer (bk_id, started_ms);
CREATE INDEX IF NOT EXISTS mk_transfer_state ON mk_transfer (node, state, started_ms);
