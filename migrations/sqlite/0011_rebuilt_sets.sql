-- When a set's row was made again from its own record. What was known of its proofs is not known then.
ALTER TABLE user_backup ADD COLUMN rebuilt_ms INTEGER;
