-- What a proof tells beyond its verdict, and its place among the proofs of its server. All of it is unknown for proofs
-- that were recorded before: a chain begins with the first that is recorded after.
ALTER TABLE mk_proof ADD COLUMN dumper_version TEXT;
ALTER TABLE mk_proof ADD COLUMN source_version TEXT;
ALTER TABLE mk_proof ADD COLUMN asserts_json TEXT;
ALTER TABLE mk_proof ADD COLUMN warnings_json TEXT;
ALTER TABLE mk_proof ADD COLUMN bytes_checked INTEGER;
ALTER TABLE mk_proof ADD COLUMN bytes_loaded INTEGER;
ALTER TABLE mk_proof ADD COLUMN load_ms INTEGER;
ALTER TABLE mk_proof ADD COLUMN manifest_blake3 TEXT;
ALTER TABLE mk_proof ADD COLUMN evidence_blake3 TEXT;
ALTER TABLE mk_proof ADD COLUMN set_started_ms INTEGER;
ALTER TABLE mk_proof ADD COLUMN chain TEXT;
ALTER TABLE mk_proof ADD COLUMN chain_number INTEGER;
ALTER TABLE mk_proof ADD COLUMN previous_digest TEXT;
ALTER TABLE mk_proof ADD COLUMN digest TEXT;
ALTER TABLE mk_proof_database ADD COLUMN tables_exact INTEGER;
ALTER TABLE mk_proof_database ADD COLUMN tables_counted INTEGER;

-- Two who record at once cannot both follow the same proof.
CREATE UNIQUE INDEX IF NOT EXISTS mk_proof_chain ON mk_proof (chain, chain_number);

-- What the digest is of, word for word; in parts as mk_evidence.
CREATE TABLE IF NOT EXISTS mk_proof_document (
  proof_id TEXT NOT NULL,
  part INTEGER NOT NULL,
  json TEXT NOT NULL,
  PRIMARY KEY (proof_id, part)
);
