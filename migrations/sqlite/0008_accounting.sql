-- What a run stands for besides its own slot: a planned start, slots that were missed in great number, an
-- interrupted run that it does again. One run is done again once: the index is unique.
ALTER TABLE mk_run ADD COLUMN planned_ms INTEGER NULL;
ALTER TABLE mk_run ADD COLUMN covers_after_ms INTEGER NULL;
ALTER TABLE mk_run ADD COLUMN covers_slots INTEGER NULL;
ALTER TABLE mk_run ADD COLUMN retry_of TEXT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS mk_run_retry_of ON mk_run (retry_of);
