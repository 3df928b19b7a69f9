-- What was charged below its cost has to say why: the provider did not answer, or a prepaid balance
-- ended. And an account that had credit spends only credit, whatever else becomes of it.

ALTER TABLE usage ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0  -- 1: nobody is charged for it
  CHECK (unanswered IN (0, 1));

-- Until now only how a request ended told of it.
UPDATE usage SET unanswered = 1 WHERE charged = 0 AND cost > 0 AND state IN ('failed', 'aborted');

CREATE TRIGGER unanswered_stays BEFORE UPDATE OF unanswered ON usage BEGIN
  SELECT RAISE(ABORT, 'a settled request is never changed: correct its account with a credit');
END;

CREATE TRIGGER prepaid_stays BEFORE UPDATE OF prepaid ON accounts
  WHEN NEW.prepaid = 0 AND EXISTS (SELECT 1 FROM credits WHERE account_id = OLD.id)
BEGIN
  SELECT RAISE(ABORT, 'an account that had credit spends only credit');
END;
