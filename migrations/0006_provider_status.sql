-- How providers and their models were doing: a row for each change of status, and one a minute while
-- there is traffic. Every process writes what it saw itself.
-- Times are milliseconds since 1970-01-01 UTC. Counts, rate and times are those of the minutes before
-- the row, as many as the window covers.

CREATE TABLE provider_status (
  id              TEXT PRIMARY KEY NOT NULL,  -- ordered by time
  created_at      INTEGER NOT NULL,
  provider        TEXT NOT NULL,
  model           TEXT,                       -- NULL: the provider as a whole
  status          TEXT NOT NULL CHECK (status IN ('up', 'degraded', 'down', 'unknown')),
  changed         INTEGER NOT NULL CHECK (changed IN (0, 1)),  -- 1: the status began here
  latency_ms      INTEGER,                    -- to the first chunk of a stream, median; NULL: no stream
  latency_p95_ms  INTEGER,
  duration_ms     INTEGER,                    -- to the end of an answer, median; NULL: no answer
  duration_p95_ms INTEGER,
  attempts        INTEGER NOT NULL,           -- calls to the provider
  errors          INTEGER NOT NULL,           -- those of them that failed by its fault
  error_rate      REAL,                       -- errors / attempts; NULL: no attempts
  error_code      TEXT,                       -- of the last error in these minutes
  probe_ms        INTEGER                     -- how long its list of models took; NULL: not asked since the last attempt
) STRICT, WITHOUT ROWID;

CREATE INDEX provider_status_changes ON provider_status (id) WHERE changed = 1;
