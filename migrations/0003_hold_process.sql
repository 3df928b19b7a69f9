-- Whose a hold is: the process that has this id locks a file beside the database for its life, so
-- that others see at once when it dies. NULL: only the lease tells.
ALTER TABLE holds ADD COLUMN process TEXT;
