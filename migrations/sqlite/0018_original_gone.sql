-- When a set's original was removed while a copy of it lay at a destination: the set itself is not deleted then.
ALTER TABLE user_backup ADD COLUMN original_gone_ms INTEGER;
-- Whose run it is, where several have one name of a node: the identity that lies in the state_dir. NULL in rows from before.
ALTER TABLE mk_run ADD COLUMN keeper TEXT;
