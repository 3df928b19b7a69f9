-- What a key, or its owner, prefers. NULL: as the owner, then as the server says.

ALTER TABLE accounts ADD COLUMN unsupported TEXT CHECK (unsupported IN ('refuse', 'warn', 'drop'));  -- fields that a vendor cannot keep
ALTER TABLE accounts ADD COLUMN exact_count INTEGER CHECK (exact_count IN (0, 1));  -- 1: vendors count the tokens of requests
