-- What is to be written to a shared catalog that is away, in the order in which it is to be written.
CREATE TABLE IF NOT EXISTS journal (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  noted_ms INTEGER NOT NULL,
  entry TEXT NOT NULL,
  -- 1 until the copy on this machine has it, too: it is not carried out before.
  held INTEGER NOT NULL DEFAULT 0,
  -- How often the catalog refused it for what it holds, and with which words the last time.
  refusals INTEGER NOT NULL DEFAULT 0,
  refusal TEXT NULL
);
