-- Attempts that nobody has ended are looked for every half minute, among all that ever were.
-- Looked for first, so that it can be run again after it was cut off.
SET @mk_ddl = IF(EXISTS (
  SELECT 1 FROM information_schema.STATISTICS s
  WHERE s.TABLE_SCHEMA = DATABASE() AND s.TABLE_NAME = 'mk_attempt' AND s.INDEX_NAME = 'mk_attempt_state'
), 'DO 0', 'ALTER TABLE mk_attempt ADD KEY mk_attempt_state (state, run_id)');
PREPARE mk_extend FROM @mk_ddl;
EXECUTE mk_extend;
DEALLOCATE PREPARE mk_extend;
