-- Circuits: a model that fails at an account is not asked there for a while. A row for each circuit
-- that opens or closes; in other rows of a model how it stood over all accounts.

ALTER TABLE provider_status ADD COLUMN account TEXT;  -- whose circuit changed, '' where the provider has one account; NULL: the row is of all accounts
ALTER TABLE provider_status ADD COLUMN circuit TEXT
  CHECK (circuit IN ('closed', 'half-open', 'open'));  -- NULL: the provider as a whole, or before there were circuits
