-- When a set's row was made again from its own record. What was known of its proofs is not known then.
-- Looked for first, so that it can be run again after it was cut off.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'user_backup' AND c.COLUMN_NAME = 'rebuilt_ms'
), 'DO 0', 'ALTER TABLE user_backup ADD COLUMN rebuilt_ms BIGINT NULL');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;
