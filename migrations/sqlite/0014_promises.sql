-- How each server's promise stands (proven_within), as the node that gave it last saw it.
CREATE TABLE IF NOT EXISTS mk_promise (
  node TEXT NOT NULL,
  tag TEXT NOT NULL,
  server TEXT NOT NULL,
  noted_ms INTEGER NOT NULL,
  state TEXT NOT NULL,
  changed_ms INTEGER NOT NULL,
  PRIMARY KEY (node, tag)
);

-- What somebody may want to be told, each once.
CREATE TABLE IF NOT EXISTS mk_event (
  id TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  node TEXT NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  message TEXT NOT NULL,
  detail_json TEXT NOT NULL,
  PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS mk_event_at ON mk_event (at_ms);

-- What a validation job chooses from, so that every node can tell what a set waits for.
ALTER TABLE mk_job ADD COLUMN task_json TEXT;
