-- Attempts that nobody has ended are looked for every half minute, among all that ever were.
CREATE INDEX IF NOT EXISTS mk_attempt_state ON mk_attempt (state, run_id);
