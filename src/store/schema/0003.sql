-- Operators with a scope, and the ways in beside a password.

-- What an operator sees: all domains (1) or those of operator_domains (0); repositories likewise. A domain that is
-- deleted leaves the set smaller, never wider.
ALTER TABLE operators ADD COLUMN all_domains      INTEGER NOT NULL DEFAULT 1;
ALTER TABLE operators ADD COLUMN all_repositories INTEGER NOT NULL DEFAULT 1;

CREATE TABLE operator_domains (
  operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
  domain_id   INTEGER NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
  PRIMARY KEY (operator_id, domain_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX operator_domains_by_domain ON operator_domains (domain_id);

CREATE TABLE operator_repositories (
  operator_id   INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  PRIMARY KEY (operator_id, repository_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX operator_repositories_by_repository ON operator_repositories (repository_id);

-- Programs that get tokens by the client credentials of OAuth 2.0. They act as their operator.
CREATE TABLE clients (
  id          INTEGER PRIMARY KEY AUTOINCREMENT,
  name        TEXT    NOT NULL UNIQUE,
  secret_hash BLOB    NOT NULL,
  operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
  created_ms  INTEGER NOT NULL
) STRICT;
CREATE INDEX clients_by_operator ON clients (operator_id);

-- Tokens that stand for a login for an hour: of sessions and of OAuth 2.0. Only their hashes are kept. One is good
-- only while its generation is that of its operator.
CREATE TABLE bearers (
  token_hash  BLOB    PRIMARY KEY,
  operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
  generation  INTEGER NOT NULL,
  -- The agent of a session; empty for none.
  agent       TEXT    NOT NULL,
  -- The client of OAuth 2.0; none for a session.
  client_id   INTEGER REFERENCES clients (id) ON DELETE CASCADE,
  expires_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX bearers_by_operator ON bearers (operator_id);
CREATE INDEX bearers_by_expiry ON bearers (expires_ms);

-- Pairs of userCode and passCode by which programs log in as their operator. One outlives its operator until it is
-- used or purged, so the operator is no reference.
CREATE TABLE user_tokens (
  user_code   TEXT    PRIMARY KEY,
  pass_hash   BLOB    NOT NULL,
  operator_id INTEGER NOT NULL UNIQUE,
  username    TEXT    NOT NULL,
  created_ms  INTEGER NOT NULL,
  expires_ms  INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX user_tokens_by_creation ON user_tokens (created_ms);

-- What an admin has set of the server itself.
CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
