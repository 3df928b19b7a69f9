-- Files that keys uploaded to providers by /v1/files. A provider's account is shared by all keys, so
-- that whose a file is stands only here.

CREATE TABLE files (
  provider   TEXT NOT NULL,
  id         TEXT NOT NULL,                  -- the provider's own
  account    TEXT NOT NULL,                  -- the provider's account that has it
  key_id     TEXT NOT NULL,                  -- api_keys.id; no other key may use it
  filename   TEXT NOT NULL,
  bytes      INTEGER NOT NULL,
  purpose    TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (provider, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX files_of_key ON files (key_id, created_at, id);
