-- Groups, the pre-auth tokens that let agents into them, and agents.

-- A group has an X.500 name and an authority of its own, which issues the certificates of its agents.
CREATE TABLE agent_groups (
  id             INTEGER PRIMARY KEY AUTOINCREMENT,
  -- In the one form of src/model/x500.rs, as all names here.
  name           TEXT    NOT NULL UNIQUE,
  uuid           TEXT    NOT NULL UNIQUE,
  -- The holding identity hash by which requests name the group.
  hash           TEXT    NOT NULL UNIQUE,
  ca_certificate TEXT    NOT NULL,
  -- Sealed.
  ca_key         BLOB    NOT NULL,
  created_ms     INTEGER NOT NULL
) STRICT;

CREATE TABLE preauth_tokens (
  id              INTEGER PRIMARY KEY AUTOINCREMENT,
  group_id        INTEGER NOT NULL REFERENCES agent_groups (id),
  -- SHA-256 of the token's id, by which it is found; the id itself is sealed, for those who may list it.
  token_hash      BLOB    NOT NULL UNIQUE,
  token           BLOB    NOT NULL,
  -- Whoever registers by it must have this name.
  owner           TEXT    NOT NULL,
  expires_ms      INTEGER,
  status          TEXT    NOT NULL,
  creation_remark TEXT,
  removal_remark  TEXT,
  created_ms      INTEGER NOT NULL,
  updated_ms      INTEGER NOT NULL
) STRICT;
CREATE INDEX preauth_tokens_by_group ON preauth_tokens (group_id, status);

CREATE TABLE agents (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  group_id   INTEGER NOT NULL REFERENCES agent_groups (id),
  name       TEXT    NOT NULL,
  -- Its own holding identity hash in the group.
  hash       TEXT    NOT NULL,
  -- ACTIVE or RETIRED; one that is retired stays so.
  status     TEXT    NOT NULL,
  -- End of its newest certificate.
  expires_ms INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  retired_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX agents_active  ON agents (group_id, name) WHERE status = 'ACTIVE';
CREATE INDEX        agents_by_hash ON agents (hash);

-- The certificates by which agents that are not retired may log in, by the SHA-256 of their DER.
CREATE TABLE agent_certificates (
  fingerprint BLOB    PRIMARY KEY,
  agent_id    INTEGER NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
  expires_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_certificates_by_agent ON agent_certificates (agent_id);

-- Who may open a session for an agent.
CREATE TABLE agent_operators (
  agent_id    INTEGER NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
  operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
  PRIMARY KEY (agent_id, operator_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_operators_by_operator ON agent_operators (operator_id);

-- What an agent itself sees: the tokens of these repositories.
CREATE TABLE agent_repositories (
  agent_id      INTEGER NOT NULL REFERENCES agents (id) ON DELETE CASCADE,
  repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
  PRIMARY KEY (agent_id, repository_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_repositories_by_repository ON agent_repositories (repository_id);

-- Sessions of an agent end with it.
CREATE INDEX bearers_by_agent ON bearers (agent) WHERE agent <> '';
