-- A row of usage for each try that cost something although its answer was of no use: it came too
-- late, broke off, or another's was quicker. The try whose answer the request ended with is in the
-- request's own row.
--
-- A try's id is its request's, a dot and its number, so that it stands beside it. Its duration and
-- its first token count from its call, its `attempts` are 1. It charges as a request does, but is
-- none: what it cost comes out of the request's hold, which stays for the others.

ALTER TABLE usage ADD COLUMN try_of TEXT  -- the request's id; NULL: the row is the request's own
  CHECK (substr(request_id, 1, length(try_of) + 1) = try_of || '.');
ALTER TABLE usage ADD COLUMN charged_on TEXT;  -- the day of `spending`, in UTC; NULL: not noted
ALTER TABLE holds ADD COLUMN beside TEXT CHECK (json_valid(beside));  -- JSON list of tries that run beside the one that the row names

-- Only a hold that grows has to fit. A move counts an attempt, a try that takes its cost out does not.
DROP TRIGGER moved_hold_must_fit;

CREATE TRIGGER moved_hold_must_fit AFTER UPDATE OF amount ON holds BEGIN
  UPDATE accounts SET held = CASE
      WHEN NEW.currency IS NULL AND NEW.attempts <> OLD.attempts
          AND (prepaid = 1 OR limit_amount IS NOT NULL)
        OR NEW.amount > OLD.amount AND (prepaid = 1 AND balance - held < NEW.amount - OLD.amount
          OR limit_amount IS NOT NULL AND limit_amount < held + NEW.amount - OLD.amount
            + (SELECT used FROM account_room WHERE account_room.id = accounts.id))
      THEN RAISE(ABORT, 'the hold does not fit')
      ELSE held + NEW.amount - OLD.amount
    END
    WHERE id IN (NEW.key_id, 'owner:' || NEW.owner);
END;

CREATE TRIGGER try_takes_its_part BEFORE INSERT ON usage
  WHEN NEW.try_of IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM usage WHERE request_id = NEW.request_id)
BEGIN
  UPDATE holds SET amount = max(0, amount - NEW.charged) WHERE request_id = NEW.try_of;
  -- If its process dies now, the try that the hold names is not settled a second time.
  UPDATE holds SET input_tokens = 0, output_tokens = 0
    WHERE request_id = NEW.try_of AND provider = NEW.provider AND model = NEW.model
      AND NOT EXISTS (
        SELECT 1 FROM json_each(beside)
          WHERE NEW.request_id = NEW.try_of || '.' || (value ->> 'number')
      );
END;

-- As before, but that a try counts as no request.
DROP TRIGGER usage_settles;

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
    SELECT id, coalesce(NEW.charged_on, date('now')),
        (SELECT charged FROM usage WHERE request_id = NEW.request_id)
      FROM accounts WHERE NEW.charged > 0 AND id IN (NEW.key_id, 'owner:' || NEW.owner)
    ON CONFLICT DO UPDATE SET charged = charged + excluded.charged;
  INSERT INTO usage_daily
    VALUES (date(NEW.created_at / 1000, 'unixepoch'), coalesce(NEW.key_id, ''),
      coalesce(NEW.provider, ''), coalesce(NEW.model, ''), coalesce(NEW.tag, ''),
      NEW.try_of IS NULL, NEW.try_of IS NULL AND NEW.state <> 'completed',
      NEW.input_tokens IS NOT NULL AND NEW.output_tokens IS NOT NULL AND NEW.cost IS NULL,
      coalesce(NEW.input_tokens, 0), coalesce(NEW.output_tokens, 0), coalesce(NEW.cached_tokens, 0),
      coalesce(NEW.cost, 0), (SELECT charged FROM usage WHERE request_id = NEW.request_id))
    ON CONFLICT DO UPDATE SET
      requests = requests + excluded.requests,
      failed = failed + excluded.failed,
      unpriced = unpriced + excluded.unpriced,
      input_tokens = input_tokens + excluded.input_tokens,
      output_tokens = output_tokens + excluded.output_tokens,
      cached_tokens = cached_tokens + excluded.cached_tokens,
      cost = cost + excluded.cost,
      charged = charged + excluded.charged;
END;

-- A process that seemed dead was only slow: what it knows takes the place of what was guessed of the
-- request and of its tries.
DROP TRIGGER end_replaces_guess;

CREATE TRIGGER end_replaces_guess BEFORE INSERT ON usage WHEN NEW.state <> 'interrupted' BEGIN
  DELETE FROM usage WHERE request_id >= NEW.request_id AND request_id < NEW.request_id || '/'
    AND state = 'interrupted';
END;

-- A charge is taken back from the day that had it, so that no day's is below zero.
DROP TRIGGER guess_is_taken_back;

CREATE TRIGGER guess_is_taken_back AFTER DELETE ON usage WHEN OLD.state = 'interrupted' BEGIN
  UPDATE accounts SET balance = balance + OLD.charged
    WHERE id IN (OLD.key_id, 'owner:' || OLD.owner);
  INSERT INTO spending (account_id, day, charged)
    SELECT id, coalesce(OLD.charged_on, date('now')), -OLD.charged FROM accounts
      WHERE OLD.charged > 0 AND id IN (OLD.key_id, 'owner:' || OLD.owner)
    ON CONFLICT DO UPDATE SET charged = charged + excluded.charged;
  UPDATE usage_daily SET
      requests = requests - (OLD.try_of IS NULL),
      failed = failed - (OLD.try_of IS NULL),
      unpriced = unpriced - (OLD.cost IS NULL),
      input_tokens = input_tokens - OLD.input_tokens,
      output_tokens = output_tokens - OLD.output_tokens,
      cached_tokens = cached_tokens - OLD.cached_tokens,
      cost = cost - coalesce(OLD.cost, 0),
      charged = charged - OLD.charged
    WHERE day = date(OLD.created_at / 1000, 'unixepoch') AND key_id = coalesce(OLD.key_id, '')
      AND provider = OLD.provider AND model = OLD.model AND tag = coalesce(OLD.tag, '');
END;

-- As before, the new columns among the others.
DROP TRIGGER usage_stays;

CREATE TRIGGER usage_stays BEFORE UPDATE OF
  request_id, created_at, key_id, owner, tag, provider, model, model_asked, model_served, stream,
  input_tokens, output_tokens, cached_tokens, counted_tokens, estimated, cost, currency,
  price_input, price_output, price_cached, state, status, error_code, attempts, duration_ms,
  first_token_ms, try_of, charged_on
ON usage BEGIN
  SELECT RAISE(ABORT, 'a settled request is never changed: correct its account with a credit');
END;
