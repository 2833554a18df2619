-- The object model of the token/* API as a whole.

ALTER TABLE repositories ADD COLUMN parent_id INTEGER REFERENCES repositories (id);

ALTER TABLE users ADD COLUMN mobile         TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN telephone      TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN principal_name TEXT NOT NULL DEFAULT '';

-- Tokens of a software product live in an app: their secret is made here and handed out once.
ALTER TABLE products ADD COLUMN software INTEGER NOT NULL DEFAULT 0;

-- Fixed when the token is made: only software tokens are exportable.
ALTER TABLE tokens ADD COLUMN exportable INTEGER NOT NULL DEFAULT 0;
-- No further hand-out of the secret, by download or programming, until released.
ALTER TABLE tokens ADD COLUMN confined   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN import_id  INTEGER;
-- For searches: each ends in the id, which is the order of a page. One of two columns serves no search for the first
-- alone, which would find its rows in the order of the second.
CREATE INDEX tokens_by_status            ON tokens (status);
CREATE INDEX tokens_by_product_status    ON tokens (product_id, status);
CREATE INDEX tokens_by_repository_status ON tokens (repository_id, status);
-- Beginnings of serials, in any case.
CREATE INDEX tokens_by_serial            ON tokens (serial COLLATE NOCASE);
CREATE INDEX tokens_by_import ON tokens (import_id) WHERE import_id IS NOT NULL;

ALTER TABLE assignments ADD COLUMN is_owner           INTEGER NOT NULL DEFAULT 1;
ALTER TABLE assignments ADD COLUMN starts_ms          INTEGER;
ALTER TABLE assignments ADD COLUMN expires_ms         INTEGER;
-- Accepted passcodes that the assignment is good for; 0 is without limit.
ALTER TABLE assignments ADD COLUMN usage_limit        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assignments ADD COLUMN used               INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assignments ADD COLUMN must_change_pin    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assignments ADD COLUMN pin_never_expires  INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assignments ADD COLUMN last_change_pin_ms INTEGER;
ALTER TABLE assignments ADD COLUMN import_id          INTEGER;
CREATE INDEX assignments_by_import ON assignments (import_id) WHERE import_id IS NOT NULL;

-- Imports and batches that are under way. Rows that carry one of these ids are invisible to everybody; the small
-- commit that deletes the row here makes them all visible at once. What is left at start is swept.
CREATE TABLE imports (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  kind       TEXT    NOT NULL,
  started_ms INTEGER NOT NULL
) STRICT;

-- Links by which the secret of a software token can be fetched once. Only the hash of a link is kept.
CREATE TABLE downloads (
  link_hash  BLOB    PRIMARY KEY,
  token_id   INTEGER NOT NULL REFERENCES tokens (id) ON DELETE CASCADE,
  user_id    INTEGER REFERENCES users (id) ON DELETE CASCADE,
  expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX downloads_by_token ON downloads (token_id);

-- How many tokens there are, so that a total does not have to count a million rows. `import_id` is 0 for those
-- that everybody sees.
CREATE TABLE token_counts (
  import_id     INTEGER NOT NULL,
  product_id    INTEGER NOT NULL,
  repository_id INTEGER NOT NULL,
  status        TEXT    NOT NULL,
  tokens        INTEGER NOT NULL,
  PRIMARY KEY (import_id, product_id, repository_id, status)
) STRICT, WITHOUT ROWID;

INSERT INTO token_counts (import_id, product_id, repository_id, status, tokens)
SELECT 0, product_id, repository_id, status, count(*) FROM tokens GROUP BY product_id, repository_id, status;

-- What is added is counted by the store, once for all rows of a change: a trigger would double the cost of an import.
-- Both may come first, so a count may be below zero until the commit.
CREATE TRIGGER tokens_count_out AFTER DELETE ON tokens BEGIN
  INSERT INTO token_counts (import_id, product_id, repository_id, status, tokens)
  VALUES (coalesce((SELECT id FROM imports WHERE id = OLD.import_id), 0),
          OLD.product_id, OLD.repository_id, OLD.status, -1)
  ON CONFLICT (import_id, product_id, repository_id, status) DO UPDATE SET tokens = tokens - 1;
END;

CREATE TRIGGER tokens_count_over AFTER UPDATE OF status, product_id, repository_id ON tokens
WHEN OLD.status <> NEW.status OR OLD.product_id <> NEW.product_id OR OLD.repository_id <> NEW.repository_id
BEGIN
  INSERT INTO token_counts (import_id, product_id, repository_id, status, tokens)
  VALUES (coalesce((SELECT id FROM imports WHERE id = OLD.import_id), 0),
          OLD.product_id, OLD.repository_id, OLD.status, -1)
  ON CONFLICT (import_id, product_id, repository_id, status) DO UPDATE SET tokens = tokens - 1;
  INSERT INTO token_counts (import_id, product_id, repository_id, status, tokens)
  VALUES (coalesce((SELECT id FROM imports WHERE id = NEW.import_id), 0),
          NEW.product_id, NEW.repository_id, NEW.status, 1)
  ON CONFLICT (import_id, product_id, repository_id, status) DO UPDATE SET tokens = tokens + 1;
END;
