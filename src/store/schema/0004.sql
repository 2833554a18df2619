-- The audit log as a chain (src/audit.rs). Rows of older versions get their hash when the file is first opened.
ALTER TABLE audit ADD COLUMN hash BLOB NOT NULL DEFAULT x'';

-- Who has written the log, one after the other: a database that was restored goes on as a new node.
CREATE TABLE audit_nodes (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  node           BLOB    NOT NULL UNIQUE,
  first_sequence INTEGER NOT NULL,
  public_key     BLOB    NOT NULL,
  -- Sealed.
  signing_key    BLOB    NOT NULL,
  created_ms     INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_heads (
  sequence  INTEGER PRIMARY KEY,
  node_id   INTEGER NOT NULL REFERENCES audit_nodes (id),
  hash      BLOB    NOT NULL,
  at_ms     INTEGER NOT NULL,
  signature BLOB    NOT NULL
) STRICT;

-- Rows up to each of these were pruned, or are being pruned.
CREATE TABLE audit_cuts (
  sequence  INTEGER PRIMARY KEY,
  node_id   INTEGER NOT NULL REFERENCES audit_nodes (id),
  hash      BLOB    NOT NULL,
  at_ms     INTEGER NOT NULL,
  signature BLOB    NOT NULL
) STRICT;

-- The columns that the log is searched by, filled in the background: an index of the table itself would cost every
-- verify a page in each of them. `kind` is a number of src/store/audit/search.rs.
CREATE TABLE audit_index (
  kind     INTEGER NOT NULL,
  value    ANY     NOT NULL,
  at_ms    INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  PRIMARY KEY (kind, value, at_ms, sequence)
) STRICT, WITHOUT ROWID;

-- How far who has come: `index`, and each place that rows are sent to.
CREATE TABLE audit_progress (
  name     TEXT    PRIMARY KEY,
  sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO audit_progress (name, sequence) VALUES ('index', 0);
