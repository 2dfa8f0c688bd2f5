-- What lists of sets and runs are asked for, so that each finds its rows in the order of time among millions. A row of
-- user_backup is written a few times in its life: its indexes cost little. mk_run is written for every slot: two more.

-- Made by the engine of what the seed's columns hold, whoever writes them: every part is there; the last attempt to send
-- it succeeded; proven.
ALTER TABLE user_backup ADD COLUMN mk_whole INTEGER GENERATED ALWAYS AS
  (CASE WHEN INSTR(is_complete, 'Y') > 0 AND INSTR(is_complete, 'N') = 0 THEN 1 ELSE 0 END) VIRTUAL;
ALTER TABLE user_backup ADD COLUMN mk_sent INTEGER GENERATED ALWAYS AS
  (CASE WHEN SUBSTR(transfer_complete, -1) = 'Y' THEN 1 ELSE 0 END) VIRTUAL;
ALTER TABLE user_backup ADD COLUMN mk_passed INTEGER GENERATED ALWAYS AS
  (CASE WHEN validate_status = 'passed' THEN 1 ELSE 0 END) VIRTUAL;

-- backups, where what is deleted is most of the history; --state deleted.
CREATE INDEX IF NOT EXISTS mk_deleted_start ON user_backup (is_deleted, start_time);
-- The newest set of a job.
CREATE INDEX IF NOT EXISTS mk_job_start ON user_backup (job, start_time);
-- --state complete and incomplete, --state transferred: one of each pair is rare.
CREATE INDEX IF NOT EXISTS mk_whole_start ON user_backup (mk_whole, start_time);
CREATE INDEX IF NOT EXISTS mk_sent_start ON user_backup (mk_sent, start_time);
-- --state unproven: of what is there, which may nearly all be proven.
CREATE INDEX IF NOT EXISTS mk_passed_start ON user_backup (is_deleted, mk_passed, start_time);
-- --state validated and failed, with what is deleted.
CREATE INDEX IF NOT EXISTS mk_status_start ON user_backup (validate_status, start_time);
-- The newest proven set of each server, every minute for every promise.
CREATE INDEX IF NOT EXISTS mk_tag_status ON user_backup (tag, validate_status, start_time);

-- runs of a job, on whichever node.
CREATE INDEX IF NOT EXISTS mk_run_job_time ON mk_run (job, requested_ms, id);
-- Which validations failed of late, and which backups run.
CREATE INDEX IF NOT EXISTS mk_run_kind ON mk_run (kind, state, requested_ms, id);
