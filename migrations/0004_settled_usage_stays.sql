-- A request that is settled stays as it was settled: it is the entry that charged.
--
-- Two changes of a row of usage are part of settling it, and stay possible: a row of state
-- 'interrupted' gives way to the end that its process knows (end_replaces_guess), and a charge
-- beyond a prepaid balance is lowered to what is left of it (usage_settles). A trigger cannot tell
-- who changes a row, so that a charge can be lowered by hand too; `xrouter ledger check` sees it.

CREATE TRIGGER usage_is_kept BEFORE DELETE ON usage WHEN OLD.state <> 'interrupted' BEGIN
  SELECT RAISE(ABORT, 'a settled request is never deleted: correct its account with a credit');
END;

CREATE TRIGGER usage_stays BEFORE UPDATE OF
  request_id, created_at, key_id, owner, tag, provider, model, model_asked, model_served, stream,
  input_tokens, output_tokens, cached_tokens, counted_tokens, estimated, cost, currency,
  price_input, price_output, price_cached, state, status, error_code, attempts, duration_ms,
  first_token_ms
ON usage BEGIN
  SELECT RAISE(ABORT, 'a settled request is never changed: correct its account with a credit');
END;

CREATE TRIGGER charge_never_grows BEFORE UPDATE OF charged ON usage
  WHEN NEW.charged > OLD.charged BEGIN
  SELECT RAISE(ABORT, 'a charge never grows: correct its account with a credit');
END;
