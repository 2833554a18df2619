-- The newest states of users, tokens and sources that decisions have moved, one row for each commit, until they are
-- folded into the tables of those states (src/store/hot.rs). Whoever reads those tables without the program must apply
-- these rows first, in order.
CREATE TABLE decision_log (
  sequence INTEGER PRIMARY KEY,
  changes  BLOB NOT NULL,
  digest   BLOB NOT NULL
) STRICT;
