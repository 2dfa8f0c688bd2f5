-- For how long a dump waited for its locks and held them.
ALTER TABLE user_backup ADD COLUMN lock_waited_ms INTEGER;
ALTER TABLE user_backup ADD COLUMN lock_held_ms INTEGER;
