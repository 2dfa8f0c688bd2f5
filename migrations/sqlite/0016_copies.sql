-- Whether a proof failed for the files of one copy alone: 1 where it did. Unknown for proofs that were recorded before.
ALTER TABLE mk_proof ADD COLUMN copy_differs INTEGER;
