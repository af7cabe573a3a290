-- The same queue with the number of rows as a constant in the statement.  PostgreSQL expects a tenth of the table of LIMIT $1 and
-- therefore plans that statement anew at each execution, prepared or not; with a constant it plans it once a session.

-- @like skip-locked

-- @claim
UPDATE jobs SET status = 'running', started_at = now() WHERE id IN
	(SELECT id FROM jobs WHERE status = 'pending' ORDER BY priority, id LIMIT {batch literal} FOR UPDATE SKIP LOCKED)
RETURNING *

-- @claim unflushed
WITH unflushed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
UPDATE jobs SET status = 'running', started_at = now() FROM unflushed WHERE id IN
	(SELECT id FROM jobs WHERE status = 'pending' ORDER BY priority, id LIMIT {batch literal} FOR UPDATE SKIP LOCKED)
RETURNING jobs.*
