-- Whether a proof failed for the files of one copy alone: 1 where it did. Unknown for proofs that were recorded before.
-- Made from what is missing, so that it can be run again after it was cut off; nothing missing is 'DO 0'.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'mk_proof'
    AND CONVERT(c.COLUMN_NAME USING utf8mb4) COLLATE utf8mb4_general_ci = 'copy_differs'
), 'DO 0', 'ALTER TABLE mk_proof ADD COLUMN copy_differs BIGINT NULL');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;
