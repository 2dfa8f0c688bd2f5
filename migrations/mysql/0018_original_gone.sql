-- When a set's original was removed while a copy of it lay at a destination: the set itself is not deleted then.
-- Looked for first, so that it can be run again after it was cut off.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup' AND c.COLUMN_NAME = 'original_gone_ms'
), 'DO 0', 'ALTER TABLE user_backup ADD COLUMN original_gone_ms BIGINT NULL');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

-- Whose run it is, where several have one name of a node: the identity that lies in the state_dir. NULL in rows from before.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'mk_run' AND c.COLUMN_NAME = 'keeper'
), 'DO 0', 'ALTER TABLE mk_run ADD COLUMN keeper CHAR(36) NULL');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;
