-- API keys and the record of every request.
-- Times are milliseconds since 1970-01-01 UTC. Flags are 0 or 1. Money is in millionths
-- of the currency named in the same row.

CREATE TABLE api_keys (
  id           TEXT PRIMARY KEY NOT NULL,
  hash         TEXT NOT NULL UNIQUE,         -- SHA-256 of the key in lower-case hex, never the key
  name         TEXT NOT NULL,
  owner        TEXT,
  created_at   INTEGER NOT NULL,
  expires_at   INTEGER,                      -- NULL: never
  active       INTEGER NOT NULL DEFAULT 1 CHECK (active IN (0, 1)),  -- 0: revoked
  last_used_at INTEGER                       -- NULL: not used yet
) STRICT;

-- Request ids are ordered by time, so the table needs no rowid and no index to be read in that order.
CREATE TABLE usage (
  request_id    TEXT PRIMARY KEY NOT NULL,
  created_at    INTEGER NOT NULL,            -- when the request arrived
  key_id        TEXT,                        -- api_keys.id; NULL: no key was recognised
  provider      TEXT,                        -- NULL: no provider was reached
  model_asked   TEXT,                        -- as the client wrote it
  model_served  TEXT,                        -- as the provider names it
  stream        INTEGER NOT NULL CHECK (stream IN (0, 1)),
  input_tokens  INTEGER,
  output_tokens INTEGER,
  cached_tokens INTEGER,                     -- the part of input_tokens that the provider had cached
  estimated     INTEGER NOT NULL CHECK (estimated IN (0, 1)),  -- 1: counted by XRouter, 0: reported
  cost          INTEGER,                     -- millionths of currency; NULL: no price known
  currency      TEXT,                        -- ISO 4217 code
  price_input   INTEGER,                     -- millionths of currency per million tokens
  price_output  INTEGER,                     -- in all three, NULL: no price known
  price_cached  INTEGER,
  state         TEXT NOT NULL CHECK (state IN ('completed', 'refused', 'failed', 'aborted')),
  status        INTEGER NOT NULL,            -- HTTP status of the answer
  error_code    TEXT,                        -- NULL: no error
  attempts      INTEGER NOT NULL,            -- calls to providers, 0 or more
  duration_ms   INTEGER NOT NULL,            -- from arrival to the last byte
  first_token_ms INTEGER                     -- from arrival to the first token; NULL: none came
) STRICT, WITHOUT ROWID;
