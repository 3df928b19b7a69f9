-- Who is refused last when a process is saturated. NULL: as the owner, then "normal".

ALTER TABLE accounts ADD COLUMN priority TEXT CHECK (priority IN ('low', 'normal', 'high'));

-- What people were told last, so that a start tells nothing again, and of several processes one tells.
CREATE TABLE alerts (
  subject TEXT PRIMARY KEY NOT NULL,          -- such as "provider:openai/gpt-5"
  bad     INTEGER NOT NULL CHECK (bad IN (0, 1)),
  told_at INTEGER NOT NULL                    -- milliseconds since 1970
) STRICT, WITHOUT ROWID;
