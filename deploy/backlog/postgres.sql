-- A platform's own table, mapped as overnight's backlog by a view. Only the names left of AS are the platform's.
-- PostgreSQL writes through a view of one table by itself; it must stay that simple (no join, no DISTINCT, no
-- aggregate), so that a claim waits for and sees what a live runner has just claimed.
CREATE VIEW tasks AS
SELECT id::text AS id,
       repository AS repo,
       agent AS agent_type,
       state AS status,
       urgency AS priority,
       input AS payload,
       claimed_by AS batch_job_id,
       output AS result,
       failure AS error,
       opened_at AS created_at,
       touched_at AS updated_at
FROM work_items;

-- Where the id is not text in the table: tasks are found by what the view makes of it.
CREATE INDEX work_items_task ON work_items ((id::text));
-- What a night looks for.
CREATE INDEX work_items_pending ON work_items (opened_at) WHERE state = 'pending';
