-- What each daemon that shares this catalog told of itself last.
CREATE TABLE IF NOT EXISTS mk_node (
  node TEXT NOT NULL,
  state_dir TEXT NOT NULL,
  heard_ms INTEGER NOT NULL,
  report_json TEXT NOT NULL,
  PRIMARY KEY (node, state_dir)
);
