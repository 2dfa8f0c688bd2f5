-- How each server's promise stands (proven_within), as the node that gave it last saw it.
CREATE TABLE IF NOT EXISTS mk_promise (
  node VARCHAR(100) NOT NULL,
  tag VARCHAR(255) NOT NULL,
  server VARCHAR(100) NOT NULL,
  noted_ms BIGINT NOT NULL,
  state VARCHAR(16) NOT NULL,
  changed_ms BIGINT NOT NULL,
  PRIMARY KEY (node, tag)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What somebody may want to be told, each once.
CREATE TABLE IF NOT EXISTS mk_event (
  id CHAR(36) NOT NULL,
  at_ms BIGINT NOT NULL,
  node VARCHAR(100) NOT NULL,
  kind VARCHAR(40) NOT NULL,
  subject VARCHAR(255) NOT NULL,
  message MEDIUMTEXT NOT NULL,
  detail_json MEDIUMTEXT NOT NULL,
  PRIMARY KEY (id),
  KEY mk_event_at (at_ms)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What a validation job chooses from, so that every node can tell what a set waits for.
-- Looked for first, so that it can be run again after it was cut off.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'mk_job' AND c.COLUMN_NAME = 'task_json'
), 'DO 0', 'ALTER TABLE mk_job ADD COLUMN task_json MEDIUMTEXT NULL');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;
