-- What was found out about attempts that failed, for the helpdesk: at most 20 of a token and 50 of a user. Never what
-- was typed, nor anything that could tell it (src/service/explain/note.rs).
CREATE TABLE findings (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms    INTEGER NOT NULL,
  action   TEXT    NOT NULL,
  token_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE,
  user_id  INTEGER REFERENCES users (id) ON DELETE CASCADE,
  note     TEXT    NOT NULL
) STRICT;
CREATE INDEX findings_by_token ON findings (token_id, id);
CREATE INDEX findings_by_user  ON findings (user_id, id);
