-- Facts about the file itself: wrapped keys, the id and check value of the master key.
CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Persons and programs that may call the API.
CREATE TABLE operators (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  name          TEXT    NOT NULL UNIQUE,
  password_hash TEXT    NOT NULL,
  role          TEXT    NOT NULL,
  -- Raised by every change that must end remembered logins.
  generation    INTEGER NOT NULL,
  disabled      INTEGER NOT NULL,
  created_ms    INTEGER NOT NULL
) STRICT;

CREATE TABLE domains (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  name        TEXT    NOT NULL,
  -- Lower case, for look-ups: domain and login names are the same in any case.
  name_key    TEXT    NOT NULL UNIQUE,
  description TEXT    NOT NULL,
  created_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  domain_id  INTEGER NOT NULL REFERENCES domains (id),
  login_name TEXT    NOT NULL,
  login_key  TEXT    NOT NULL,
  first_name TEXT    NOT NULL,
  last_name  TEXT    NOT NULL,
  email      TEXT    NOT NULL,
  status     TEXT    NOT NULL,
  created_ms INTEGER NOT NULL,
  UNIQUE (domain_id, login_key)
) STRICT;

-- What a verify changes of a user.
CREATE TABLE user_states (
  user_id         INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
  failures        INTEGER NOT NULL,
  locked_until_ms INTEGER
) STRICT;

CREATE TABLE products (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  name              TEXT    NOT NULL,
  manufacturer_code TEXT    NOT NULL,
  product_code      TEXT    NOT NULL,
  kind              TEXT    NOT NULL,
  hash              TEXT    NOT NULL,
  digits            INTEGER NOT NULL,
  time_step_seconds INTEGER,
  -- The driver that programs it; none for tokens that only come in import files.
  driver            TEXT    NOT NULL,
  created_ms        INTEGER NOT NULL,
  UNIQUE (manufacturer_code, product_code)
) STRICT;

CREATE TABLE repositories (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  name        TEXT    NOT NULL UNIQUE,
  description TEXT    NOT NULL,
  created_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE tokens (
  id            INTEGER PRIMARY KEY AUTOINCREMENT,
  serial        TEXT    NOT NULL UNIQUE,
  identifier    TEXT    NOT NULL,
  product_id    INTEGER NOT NULL REFERENCES products (id),
  repository_id INTEGER NOT NULL REFERENCES repositories (id),
  status        TEXT    NOT NULL,
  description   TEXT    NOT NULL,
  -- The device (driver:serial) and slot that hold the credential, once programmed.
  device        TEXT,
  slot          TEXT,
  created_ms    INTEGER NOT NULL,
  updated_ms    INTEGER NOT NULL,
  UNIQUE (device, slot)
) STRICT;
CREATE INDEX tokens_by_product ON tokens (product_id);
CREATE INDEX tokens_by_repository ON tokens (repository_id);

-- The secret with its parameters. A token without a row here is stock: it verifies nothing.
CREATE TABLE credentials (
  token_id          INTEGER PRIMARY KEY REFERENCES tokens (id) ON DELETE CASCADE,
  kind              TEXT    NOT NULL,
  hash              TEXT    NOT NULL,
  digits            INTEGER NOT NULL,
  time_step_seconds INTEGER,
  secret            BLOB    NOT NULL
) STRICT;

-- What a verify changes of a token.
CREATE TABLE token_states (
  token_id        INTEGER PRIMARY KEY REFERENCES tokens (id) ON DELETE CASCADE,
  next_factor     INTEGER NOT NULL,
  drift_steps     INTEGER NOT NULL,
  needs_sync      INTEGER NOT NULL,
  failures        INTEGER NOT NULL,
  locked_until_ms INTEGER
) STRICT;

CREATE TABLE assignments (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  token_id   INTEGER NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
  user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  status     TEXT    NOT NULL,
  priority   INTEGER NOT NULL,
  pin_salt   BLOB,
  pin_mac    BLOB,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  UNIQUE (user_id, token_id)
) STRICT;
CREATE INDEX assignments_by_token ON assignments (token_id);

-- Failures by the client address that a verifier reports.
CREATE TABLE source_states (
  source          TEXT    PRIMARY KEY,
  failures        INTEGER NOT NULL,
  locked_until_ms INTEGER
) STRICT, WITHOUT ROWID;

-- Provisioning journal. The secret is kept until the job has come to its end.
CREATE TABLE jobs (
  id                INTEGER PRIMARY KEY AUTOINCREMENT,
  action            TEXT    NOT NULL,
  token_id          INTEGER REFERENCES tokens (id) ON DELETE SET NULL,
  device            TEXT    NOT NULL,
  slot              TEXT    NOT NULL,
  state             TEXT    NOT NULL,
  kind              TEXT,
  hash              TEXT,
  digits            INTEGER,
  time_step_seconds INTEGER,
  touch             INTEGER NOT NULL,
  secret            BLOB,
  -- What giving up takes back: `nothing`, the `place` of the token, or the whole `token`.
  undo              TEXT    NOT NULL,
  -- The assignment made for the job: giving up takes it back as well.
  assignment_id     INTEGER REFERENCES assignments (id) ON DELETE SET NULL,
  error             TEXT    NOT NULL,
  operator          TEXT    NOT NULL,
  created_ms        INTEGER NOT NULL,
  updated_ms        INTEGER NOT NULL
) STRICT;
CREATE INDEX jobs_by_token ON jobs (token_id);
CREATE INDEX jobs_by_device ON jobs (device, slot);

-- One row per decision and per change, in the commit that makes it. Never a secret, PIN or passcode.
CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY,
  at_ms    INTEGER NOT NULL,
  operator TEXT    NOT NULL,
  action   TEXT    NOT NULL,
  token_id INTEGER,
  user_id  INTEGER,
  outcome  TEXT    NOT NULL,
  detail   TEXT    NOT NULL
) STRICT;
