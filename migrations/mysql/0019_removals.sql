-- What a run has removed of a set, or has told to be removed: one row for each folder, never changed.
CREATE TABLE IF NOT EXISTS mk_removal (
  id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  bk_id CHAR(36) NOT NULL,
  node VARCHAR(100) NOT NULL,
  path TEXT NOT NULL,
  removed_ms BIGINT NOT NULL,
  run_id CHAR(36) NULL,
  KEY mk_removal_set (bk_id, removed_ms)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
-- Originals that went before this was noted; of ours bk_dir is the set's own folder.
INSERT INTO mk_removal (bk_id, node, path, removed_ms)
SELECT b.bk_id, b.node, b.bk_dir, b.original_gone_ms FROM user_backup b
WHERE b.original_gone_ms IS NOT NULL AND b.node IS NOT NULL AND NOT EXISTS (SELECT 1 FROM mk_removal);
