-- What the server's clock is held against, from one start of the server to the next. One row at most.
CREATE TABLE server_clock (
  id             INTEGER PRIMARY KEY CHECK (id = 1),
  -- The run of the machine; none if the system does not tell.
  boot_id        TEXT,
  -- Both clocks when they were first seen together: none while the wall clock was never right.
  anchor_wall_ms INTEGER,
  anchor_boot_ms INTEGER,
  -- The newest time that is known, and the row of the log up to which it was looked for.
  newest_ms      INTEGER NOT NULL,
  looked_to      INTEGER NOT NULL
) STRICT;

-- Decisions that are told again to who asks again within a minute. The two keys are MACs.
CREATE TABLE resends (
  request  BLOB    PRIMARY KEY,
  content  BLOB    NOT NULL,
  at_ms    INTEGER NOT NULL,
  decision TEXT    NOT NULL,
  token_id INTEGER,
  user_id  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX resends_by_time ON resends (at_ms);
