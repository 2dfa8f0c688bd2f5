-- Sets of which a copy differs are asked for every few seconds.
CREATE INDEX IF NOT EXISTS mk_verification_state ON mk_verification (state, bk_id);

-- Which chain of proofs it is: a catalog that is made again begins another, with the same tag and the same numbers.
-- Unknown for a chain that began before this was noted.
ALTER TABLE mk_proof ADD COLUMN chain_id TEXT;
