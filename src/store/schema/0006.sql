-- What is known of a token's clock (src/otp/clock_model.rs); `drift_steps` stays what it was at the last success.
ALTER TABLE token_states ADD COLUMN clock_offset_ms     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token_states ADD COLUMN clock_rate_ppb      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token_states ADD COLUMN clock_at_ms         INTEGER;
ALTER TABLE token_states ADD COLUMN clock_since_ms      INTEGER;
ALTER TABLE token_states ADD COLUMN clock_successes     INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token_states ADD COLUMN clock_spread_offset INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token_states ADD COLUMN clock_spread_both   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token_states ADD COLUMN clock_spread_rate   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token_states ADD COLUMN clock_frozen        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token_states ADD COLUMN clock_rate_given    INTEGER NOT NULL DEFAULT 0;
-- The first of two passcodes that together are a resync.
ALTER TABLE token_states ADD COLUMN pending_factor      INTEGER;
ALTER TABLE token_states ADD COLUMN pending_at_ms       INTEGER;

-- The drift so far goes on as an offset.
UPDATE token_states SET clock_offset_ms = drift_steps * 1000 *
  coalesce((SELECT time_step_seconds FROM credentials c WHERE c.token_id = token_states.token_id), 0)
WHERE drift_steps BETWEEN -1000000 AND 1000000 AND drift_steps <> 0;

-- Policies. A change makes a new version, numbered across all of them; the newest one for a server (no product, no
-- token), a product or a token is in force, and says only what differs from the level above. Old ones stay, also those
-- of tokens and products that are gone.
CREATE TABLE policies (
  version    INTEGER PRIMARY KEY AUTOINCREMENT,
  product_id INTEGER,
  token_id   INTEGER,
  -- A JSON object of settings (src/otp/policy/settings.rs).
  settings   TEXT    NOT NULL,
  operator   TEXT    NOT NULL,
  created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX policies_by_product ON policies (product_id, version) WHERE product_id IS NOT NULL;
CREATE INDEX policies_by_token   ON policies (token_id, version) WHERE token_id IS NOT NULL;
