-- What is to be written to a shared catalog that is away, in the order in which it is to be written.
CREATE TABLE IF NOT EXISTS journal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  noted_ms INTEGER NOT NULL,
  entry TEXT NOT NULL,
  -- How often the catalog refused it for what it holds, and with which words the last time.
  refusals INTEGER NOT NULL DEFAULT 0,
  refusal TEXT NULL
);
