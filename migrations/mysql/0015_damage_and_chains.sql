-- Sets of which a copy differs are asked for every few seconds. Looked for first, as all here, so that it can be run
-- again after it was cut off.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.STATISTICS s
  WHERE s.TABLE_SCHEMA = DATABASE() AND s.TABLE_NAME = 'mk_verification' AND s.INDEX_NAME = 'mk_verification_state'
), 'DO 0', 'CREATE INDEX mk_verification_state ON mk_verification (state, bk_id)');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;

-- Which chain of proofs it is: a catalog that is made again begins another, with the same tag and the same numbers.
-- Unknown for a chain that began before this was noted.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.COLUMNS c
  WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = 'mk_proof' AND c.COLUMN_NAME = 'chain_id'
), 'DO 0', 'ALTER TABLE mk_proof ADD COLUMN chain_id CHAR(36) NULL');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;
