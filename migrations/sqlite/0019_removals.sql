-- What a run has removed of a set, or has told to be removed: one row for each folder, never changed.
CREATE TABLE IF NOT EXISTS mk_removal (
  id INTEGER PRIMARY KEY,
  bk_id TEXT NOT NULL,
  node TEXT NOT NULL,
  path TEXT NOT NULL,
  removed_ms INTEGER NOT NULL,
  run_id TEXT NULL
);
CREATE INDEX IF NOT EXISTS mk_removal_set ON mk_removal (bk_id, removed_ms);
-- Originals that went before this was noted; of ours bk_dir is the set's own folder.
INSERT INTO mk_removal (bk_id, node, path, removed_ms)
SELECT b.bk_id, b.node, b.bk_dir, b.original_gone_ms FROM user_backup b
WHERE b.original_gone_ms IS NOT NULL AND b.node IS NOT NULL;
