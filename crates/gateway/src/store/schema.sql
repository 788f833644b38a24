CREATE TABLE served_files (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    id         TEXT NOT NULL UNIQUE,
    bytes      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    filename   TEXT NOT NULL,
    purpose    TEXT NOT NULL,
    deleted_at INTEGER -- the row stays: somebody may be paging with its id
);

CREATE TABLE served_batches (
    ordinal                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                     TEXT NOT NULL UNIQUE,
    status                 TEXT NOT NULL,
    endpoint               TEXT NOT NULL,
    input_file_id          TEXT NOT NULL,
    completion_window      TEXT NOT NULL,
    model                  TEXT,
    metadata               TEXT,
    errors                 TEXT,
    output_file_id         TEXT NOT NULL, -- written while rows run, shown once the batch has ended
    error_file_id          TEXT NOT NULL,
    output_bytes           INTEGER NOT NULL DEFAULT 0, -- of the rows below; bytes behind them never happened
    error_bytes            INTEGER NOT NULL DEFAULT 0,
    output_expires_seconds INTEGER,
    total                  INTEGER NOT NULL DEFAULT 0,
    completed              INTEGER NOT NULL DEFAULT 0,
    failed                 INTEGER NOT NULL DEFAULT 0,
    input_tokens           INTEGER NOT NULL DEFAULT 0,
    output_tokens          INTEGER NOT NULL DEFAULT 0,
    created_at             INTEGER NOT NULL,
    in_progress_at         INTEGER,
    expires_at             INTEGER NOT NULL,
    finalizing_at          INTEGER,
    completed_at           INTEGER,
    failed_at              INTEGER,
    expired_at             INTEGER,
    cancelling_at          INTEGER,
    cancelled_at           INTEGER
);
CREATE INDEX served_batches_by_input ON served_batches (input_file_id);
CREATE INDEX served_batches_open ON served_batches (ordinal)
    WHERE status IN ('validating', 'in_progress', 'finalizing', 'cancelling');

-- Rows that finished, whatever came of them.
CREATE TABLE served_rows (
    batch_id    TEXT NOT NULL,
    row_number  INTEGER NOT NULL, -- from 0, blank lines not counted
    status_code INTEGER NOT NULL,
    PRIMARY KEY (batch_id, row_number)
) WITHOUT ROWID;

-- Append-only: a row for each time that a request was run and paid for.
CREATE TABLE served_runs (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    batch_id      TEXT NOT NULL,
    row_number    INTEGER NOT NULL,
    custom_id     TEXT NOT NULL,
    status_code   INTEGER NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    ran_at        INTEGER NOT NULL
);
