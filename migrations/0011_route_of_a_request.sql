-- Why a request went where it went: JSON of its route, the targets in their order, those left out
-- with the reasons, and its tries. NULL: there was one target, and it answered at once.
ALTER TABLE usage ADD COLUMN route TEXT CHECK (json_valid(route));

CREATE TRIGGER route_stays BEFORE UPDATE OF route ON usage BEGIN
  SELECT RAISE(ABORT, 'a settled request is never changed: correct its account with a credit');
END;
