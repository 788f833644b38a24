-- A platform's own table, mapped as overnight's backlog by a view. Only the names left of AS are the platform's.
CREATE VIEW tasks AS
SELECT id,
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

-- SQLite writes through a view only where a trigger says how.
CREATE TRIGGER tasks_written INSTEAD OF UPDATE ON tasks BEGIN
    UPDATE work_items
    SET state = NEW.status, claimed_by = NEW.batch_job_id, output = NEW.result, failure = NEW.error,
        touched_at = NEW.updated_at
    WHERE id = OLD.id;
END;

-- What a night looks for.
CREATE INDEX work_items_pending ON work_items (opened_at) WHERE state = 'pending';
