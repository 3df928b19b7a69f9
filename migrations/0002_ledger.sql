-- Money: accounts, credits, holds, and what was spent each day.
-- Amounts are whole millionths of the accounting currency, times milliseconds since 1970-01-01 UTC.
--
-- The rules stand here, as checks and triggers, so that they hold for every process that shares the
-- database and for whoever writes to it by hand:
--   a hold that an account cannot bear is refused;
--   a row of usage charges its accounts and ends its hold in one transaction, and only once;
--   balance = credits - charges, and what is held is never more than a prepaid balance.

-- What all amounts are in; written by the first start.
CREATE TABLE ledger (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  currency TEXT NOT NULL
) STRICT;

-- A key, or the owner that several keys share. NULL: no such limit.
CREATE TABLE accounts (
  id                  TEXT PRIMARY KEY NOT NULL,  -- api_keys.id, or "owner:" and the owner's name
  prepaid             INTEGER NOT NULL DEFAULT 0 CHECK (prepaid IN (0, 1)),  -- 1: spends only credit
  balance             INTEGER NOT NULL DEFAULT 0, -- below 0: owed, where the account is not prepaid
  held                INTEGER NOT NULL DEFAULT 0, -- sum of its holds
  open                INTEGER NOT NULL DEFAULT 0, -- number of its holds
  limit_amount        INTEGER,                    -- the most it may spend in one period
  limit_period        TEXT CHECK (limit_period IN ('day', 'week', 'month')),  -- in UTC; weeks from Monday
  hold_cap            INTEGER,                    -- the most that is held for one request
  requests_per_minute INTEGER,
  tokens_per_minute   INTEGER,
  parallel            INTEGER,                    -- requests at a time
  models              TEXT CHECK (json_valid(models)),  -- JSON list of the models it may use
  CHECK (held >= 0 AND open >= 0),
  CHECK (prepaid = 0 OR balance >= held),
  CHECK ((limit_amount IS NULL) = (limit_period IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO accounts (id) SELECT id FROM api_keys;
INSERT INTO accounts (id) SELECT DISTINCT 'owner:' || owner FROM api_keys WHERE owner IS NOT NULL;

ALTER TABLE api_keys ADD COLUMN admin INTEGER NOT NULL DEFAULT 0 CHECK (admin IN (0, 1));  -- 1: reads everybody's usage, calls no model

CREATE TRIGGER key_opens_accounts AFTER INSERT ON api_keys BEGIN
  INSERT INTO accounts (id) VALUES (NEW.id);
  INSERT INTO accounts (id) SELECT 'owner:' || NEW.owner WHERE NEW.owner IS NOT NULL
    ON CONFLICT (id) DO NOTHING;
END;

-- What was put into an account or taken out of it.
CREATE TABLE credits (
  id         TEXT PRIMARY KEY NOT NULL,           -- ordered by time
  account_id TEXT NOT NULL REFERENCES accounts (id),
  created_at INTEGER NOT NULL,
  amount     INTEGER NOT NULL,                    -- below 0: taken out
  reason     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX credits_of_account ON credits (account_id);

CREATE TRIGGER credit_counts AFTER INSERT ON credits BEGIN
  UPDATE accounts SET balance = balance + NEW.amount WHERE id = NEW.account_id;
END;

CREATE TRIGGER credit_stays BEFORE UPDATE ON credits BEGIN
  SELECT RAISE(ABORT, 'a credit is never changed: enter another one');
END;

CREATE TRIGGER credit_is_kept BEFORE DELETE ON credits BEGIN
  SELECT RAISE(ABORT, 'a credit is never deleted: enter another one');
END;

-- Requests that a provider may be working on. A row is there before the provider is asked.
CREATE TABLE holds (
  request_id    TEXT PRIMARY KEY NOT NULL,
  key_id        TEXT,
  owner         TEXT,
  amount        INTEGER NOT NULL CHECK (amount >= 0),
  opened_at     INTEGER NOT NULL,                 -- when the request arrived
  expires_at    INTEGER NOT NULL,                 -- after this its process is taken for dead
  provider      TEXT NOT NULL,
  model         TEXT NOT NULL,                    -- as the provider names it
  model_asked   TEXT,                             -- as the client wrote it
  tag           TEXT,
  stream        INTEGER NOT NULL CHECK (stream IN (0, 1)),
  attempts      INTEGER NOT NULL DEFAULT 1,
  input_tokens  INTEGER NOT NULL,                 -- counted by XRouter
  output_tokens INTEGER NOT NULL DEFAULT 0,       -- counted so far
  currency      TEXT,                             -- NULL: no price known
  price_input   INTEGER,                          -- millionths of currency per million tokens
  price_output  INTEGER,
  price_cached  INTEGER
) STRICT, WITHOUT ROWID;

-- Charges of each account by UTC day, for the limits that renew.
CREATE TABLE spending (
  account_id TEXT NOT NULL,
  day        TEXT NOT NULL,                       -- 2026-11-22
  charged    INTEGER NOT NULL,
  PRIMARY KEY (account_id, day)
) STRICT, WITHOUT ROWID;

-- What an account may still take, for a hold or for all that it has used.
CREATE VIEW account_room AS SELECT
  *,
  CASE limit_period
    WHEN 'day' THEN date('now')
    WHEN 'week' THEN date('now', '-6 days', 'weekday 1')
    WHEN 'month' THEN date('now', 'start of month')
  END AS period_start,
  CASE limit_period
    WHEN 'day' THEN date('now', '+1 day')
    WHEN 'week' THEN date('now', '+1 day', 'weekday 1')
    WHEN 'month' THEN date('now', 'start of month', '+1 month')
  END AS renews,
  CASE WHEN limit_period IS NOT NULL THEN coalesce((
    SELECT sum(charged) FROM spending WHERE account_id = accounts.id AND day >= CASE limit_period
      WHEN 'day' THEN date('now')
      WHEN 'week' THEN date('now', '-6 days', 'weekday 1')
      ELSE date('now', 'start of month')
    END
  ), 0) END AS used
FROM accounts;

CREATE TRIGGER hold_must_fit AFTER INSERT ON holds BEGIN
  UPDATE accounts SET open = open + 1, held = CASE
      WHEN prepaid = 1 AND balance - held < NEW.amount
        OR NEW.currency IS NULL AND (prepaid = 1 OR limit_amount IS NOT NULL)
        OR parallel <= open
        OR limit_amount IS NOT NULL AND limit_amount < held + NEW.amount
          + (SELECT used FROM account_room WHERE account_room.id = accounts.id)
      THEN RAISE(ABORT, 'the hold does not fit')
      ELSE held + NEW.amount
    END
    WHERE id IN (NEW.key_id, 'owner:' || NEW.owner);
END;

CREATE TRIGGER moved_hold_must_fit AFTER UPDATE OF amount ON holds BEGIN
  UPDATE accounts SET held = CASE
      WHEN prepaid = 1 AND balance - held < NEW.amount - OLD.amount
        OR NEW.currency IS NULL AND (prepaid = 1 OR limit_amount IS NOT NULL)
        OR limit_amount IS NOT NULL AND limit_amount < held + NEW.amount - OLD.amount
          + (SELECT used FROM account_room WHERE account_room.id = accounts.id)
      THEN RAISE(ABORT, 'the hold does not fit')
      ELSE held + NEW.amount - OLD.amount
    END
    WHERE id IN (NEW.key_id, 'owner:' || NEW.owner);
END;

CREATE TRIGGER hold_ends AFTER DELETE ON holds BEGIN
  UPDATE accounts SET held = held - OLD.amount, open = open - 1
    WHERE id IN (OLD.key_id, 'owner:' || OLD.owner);
END;

-- One row for every request, refused ones too; it is the entry that charges.
ALTER TABLE usage RENAME TO old_usage;

CREATE TABLE usage (
  request_id    TEXT PRIMARY KEY NOT NULL,   -- ordered by time
  created_at    INTEGER NOT NULL,            -- when the request arrived
  key_id        TEXT,                        -- api_keys.id; NULL: no key was recognised
  owner         TEXT,                        -- the key's owner
  tag           TEXT,                        -- what the client wrote into x-xrouter-tag
  provider      TEXT,                        -- NULL: no provider was reached
  model         TEXT,                        -- the provider's id that was asked for, which has the price
  model_asked   TEXT,                        -- as the client wrote it
  model_served  TEXT,                        -- as the answer names it
  stream        INTEGER NOT NULL CHECK (stream IN (0, 1)),
  input_tokens  INTEGER,
  output_tokens INTEGER,
  cached_tokens INTEGER,                     -- the part of input_tokens that the provider had cached
  counted_tokens INTEGER,                    -- input tokens as counted before the call
  estimated     INTEGER NOT NULL CHECK (estimated IN (0, 1)),  -- 1: counted by XRouter, 0: reported
  cost          INTEGER,                     -- millionths of currency; NULL: no price known
  charged       INTEGER NOT NULL DEFAULT 0,  -- less than cost only where a prepaid balance ended: the operator's loss
  currency      TEXT,                        -- ISO 4217 code
  price_input   INTEGER,                     -- millionths of currency per million tokens
  price_output  INTEGER,                     -- in all three, NULL: no price known
  price_cached  INTEGER,
  state         TEXT NOT NULL CHECK (state IN
    ('completed', 'refused', 'failed', 'aborted', 'interrupted')),  -- interrupted: the process died
  status        INTEGER NOT NULL,            -- HTTP status of the answer
  error_code    TEXT,                        -- NULL: no error
  attempts      INTEGER NOT NULL,            -- calls to providers, 0 or more
  duration_ms   INTEGER NOT NULL,            -- from arrival to the last byte
  first_token_ms INTEGER,                    -- from arrival to the first token; NULL: none came
  CHECK (charged >= 0 AND charged <= coalesce(cost, 0))
) STRICT, WITHOUT ROWID;

-- What was used before there was a ledger is owed.
INSERT INTO usage (
  request_id, created_at, key_id, owner, provider, model, model_asked, model_served, stream,
  input_tokens, output_tokens, cached_tokens, estimated, cost, charged, currency, price_input, price_output,
  price_cached, state, status, error_code, attempts, duration_ms, first_token_ms
) SELECT
  request_id, old_usage.created_at, key_id, owner, provider, model_served, model_asked,
  model_served, stream, input_tokens, output_tokens, cached_tokens, estimated, cost,
  coalesce(cost, 0), currency, price_input, price_output, price_cached, state, status, error_code,
  attempts, duration_ms, first_token_ms
FROM old_usage LEFT JOIN api_keys ON api_keys.id = key_id;

DROP TABLE old_usage;

CREATE INDEX usage_of_key ON usage (key_id);

-- Totals by day, kept with the rows so that a month of them is read in milliseconds.
CREATE TABLE usage_daily (
  day           TEXT NOT NULL,               -- 2026-11-22, in UTC, of the request's arrival
  key_id        TEXT NOT NULL,               -- '' stands for none, here and in the next three
  provider      TEXT NOT NULL,
  model         TEXT NOT NULL,
  tag           TEXT NOT NULL,
  requests      INTEGER NOT NULL,
  failed        INTEGER NOT NULL,            -- of them, not completed
  unpriced      INTEGER NOT NULL,            -- of them, with tokens but without a price
  input_tokens  INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  cost          INTEGER NOT NULL,
  charged       INTEGER NOT NULL,
  PRIMARY KEY (day, key_id, provider, model, tag)
) STRICT, WITHOUT ROWID;

CREATE INDEX usage_daily_of_key ON usage_daily (key_id);

INSERT INTO usage_daily SELECT
  date(created_at / 1000, 'unixepoch'), coalesce(key_id, ''), coalesce(provider, ''),
  coalesce(model, ''), '', count(*), sum(state <> 'completed'),
  sum(input_tokens IS NOT NULL AND output_tokens IS NOT NULL AND cost IS NULL),
  sum(coalesce(input_tokens, 0)), sum(coalesce(output_tokens, 0)), sum(coalesce(cached_tokens, 0)),
  sum(coalesce(cost, 0)), sum(charged)
FROM usage GROUP BY 1, 2, 3, 4;

INSERT INTO spending
  SELECT key_id, date(created_at / 1000, 'unixepoch'), sum(charged) FROM usage
    WHERE charged > 0 AND key_id IS NOT NULL GROUP BY 1, 2
  UNION ALL
  SELECT 'owner:' || owner, date(created_at / 1000, 'unixepoch'), sum(charged) FROM usage
    WHERE charged > 0 AND owner IS NOT NULL GROUP BY 1, 2;

UPDATE accounts SET balance = -coalesce(
  (SELECT sum(charged) FROM spending WHERE account_id = accounts.id), 0
);

CREATE TRIGGER usage_settles AFTER INSERT ON usage BEGIN
  -- What the provider reports beyond the hold is charged as far as the balance goes.
  UPDATE usage SET charged = min(charged, coalesce((
      SELECT max(0, min(balance - held + hold.amount)) FROM accounts
        WHERE id IN (NEW.key_id, 'owner:' || NEW.owner) AND prepaid = 1
    ), charged))
    FROM (
      SELECT coalesce((SELECT amount FROM holds WHERE request_id = NEW.request_id), 0) AS amount
    ) AS hold
    WHERE request_id = NEW.request_id AND NEW.charged > hold.amount;
  DELETE FROM holds WHERE request_id = NEW.request_id;
  UPDATE accounts
    SET balance = balance - (SELECT charged FROM usage WHERE request_id = NEW.request_id)
    WHERE NEW.charged > 0 AND id IN (NEW.key_id, 'owner:' || NEW.owner);
  INSERT INTO spending (account_id, day, charged)
    SELECT id, date('now'), (SELECT charged FROM usage WHERE request_id = NEW.request_id)
      FROM accounts WHERE NEW.charged > 0 AND id IN (NEW.key_id, 'owner:' || NEW.owner)
    ON CONFLICT DO UPDATE SET charged = charged + excluded.charged;
  INSERT INTO usage_daily
    VALUES (date(NEW.created_at / 1000, 'unixepoch'), coalesce(NEW.key_id, ''),
      coalesce(NEW.provider, ''), coalesce(NEW.model, ''), coalesce(NEW.tag, ''), 1,
      NEW.state <> 'completed',
      NEW.input_tokens IS NOT NULL AND NEW.output_tokens IS NOT NULL AND NEW.cost IS NULL,
      coalesce(NEW.input_tokens, 0), coalesce(NEW.output_tokens, 0), coalesce(NEW.cached_tokens, 0),
      coalesce(NEW.cost, 0), (SELECT charged FROM usage WHERE request_id = NEW.request_id))
    ON CONFLICT DO UPDATE SET
      requests = requests + 1,
      failed = failed + excluded.failed,
      unpriced = unpriced + excluded.unpriced,
      input_tokens = input_tokens + excluded.input_tokens,
      output_tokens = output_tokens + excluded.output_tokens,
      cached_tokens = cached_tokens + excluded.cached_tokens,
      cost = cost + excluded.cost,
      charged = charged + excluded.charged;
END;

-- A process that seemed dead was only slow: what it knows takes the place of what was guessed.
CREATE TRIGGER end_replaces_guess BEFORE INSERT ON usage WHEN NEW.state <> 'interrupted' BEGIN
  DELETE FROM usage WHERE request_id = NEW.request_id AND state = 'interrupted';
END;

CREATE TRIGGER guess_is_taken_back AFTER DELETE ON usage WHEN OLD.state = 'interrupted' BEGIN
  UPDATE accounts SET balance = balance + OLD.charged
    WHERE id IN (OLD.key_id, 'owner:' || OLD.owner);
  INSERT INTO spending (account_id, day, charged)
    SELECT id, date('now'), -OLD.charged FROM accounts
      WHERE OLD.charged > 0 AND id IN (OLD.key_id, 'owner:' || OLD.owner)
    ON CONFLICT DO UPDATE SET charged = charged + excluded.charged;
  UPDATE usage_daily SET
      requests = requests - 1,
      failed = failed - 1,
      unpriced = unpriced - (OLD.cost IS NULL),
      input_tokens = input_tokens - OLD.input_tokens,
      output_tokens = output_tokens - OLD.output_tokens,
      cached_tokens = cached_tokens - OLD.cached_tokens,
      cost = cost - coalesce(OLD.cost, 0),
      charged = charged - OLD.charged
    WHERE day = date(OLD.created_at / 1000, 'unixepoch') AND key_id = coalesce(OLD.key_id, '')
      AND provider = OLD.provider AND model = OLD.model AND tag = coalesce(OLD.tag, '');
END;

-- Steps of the models' prices by source, never changed: what holds follows from them in the order of
-- set_at. Those of commands win over the configuration file's, and those over the providers' own.
CREATE TABLE prices (
  provider   TEXT NOT NULL,
  model      TEXT NOT NULL,
  valid_from INTEGER NOT NULL,
  set_at     INTEGER NOT NULL,               -- grows within a model, whatever the clock says
  source     TEXT NOT NULL CHECK (source IN ('command', 'file', 'provider')),
  currency   TEXT NOT NULL,                  -- '': all prices of the source end here, planned ones too
  input      INTEGER NOT NULL CHECK (input >= 0),   -- millionths of currency per million tokens
  output     INTEGER NOT NULL CHECK (output >= 0),
  cached     INTEGER NOT NULL CHECK (cached >= 0),
  PRIMARY KEY (provider, model, valid_from, set_at)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER price_stays BEFORE UPDATE ON prices BEGIN
  SELECT RAISE(ABORT, 'a price is never changed: set another one');
END;

CREATE TRIGGER price_is_kept BEFORE DELETE ON prices BEGIN
  SELECT RAISE(ABORT, 'a price is never deleted: unset it');
END;
