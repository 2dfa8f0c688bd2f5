-- What jobs choose from, page by page: the sets that wait for their proof, of all, of a node, or of a server; those of a
-- server that are there; and what a node has read, the set whose last look is oldest first.

-- Made by the engine of what the seed's columns hold, whoever writes them: complete, there, and without a verdict.
ALTER TABLE user_backup ADD COLUMN mk_waits INTEGER GENERATED ALWAYS AS
  (CASE WHEN validate_status NOT IN ('passed', 'failed') AND is_deleted <> 'Y' AND deletion <> 'deleting'
    AND INSTR(is_complete, 'Y') > 0 AND INSTR(is_complete, 'N') = 0 THEN 1 ELSE 0 END) VIRTUAL;
CREATE INDEX IF NOT EXISTS mk_waits_start ON user_backup (mk_waits, start_time);
CREATE INDEX IF NOT EXISTS mk_node_waits ON user_backup (node, mk_waits, start_time);
CREATE INDEX IF NOT EXISTS mk_tag_waits ON user_backup (tag, mk_waits, start_time);
CREATE INDEX IF NOT EXISTS mk_tag_present ON user_backup (tag, is_deleted, start_time);

-- Who sends to a destination.
CREATE INDEX IF NOT EXISTS mk_delivery_sender ON mk_delivery (destination, node);

-- What was found of a set stays when it is deleted, and is no reason to look for it again: 1 from then on.
ALTER TABLE mk_verification ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
UPDATE mk_verification SET gone = 1 WHERE bk_id IN (SELECT bk_id FROM user_backup WHERE is_deleted = 'Y');
CREATE INDEX IF NOT EXISTS mk_verification_due ON mk_verification (node, gone, looked_ms, bk_id);
CREATE INDEX IF NOT EXISTS mk_verification_differs ON mk_verification (node, gone, state, looked_ms, bk_id);
