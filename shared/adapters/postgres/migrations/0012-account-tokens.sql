-- depends: 0011-backbone-credentials
-- When the last token of a backbone's account says that it was issued (seconds since 1970): servers that hear of two keep the later one, so
-- that of two which say the same second, or of two clocks, either could be kept.
ALTER TABLE backbone_keys ADD COLUMN IF NOT EXISTS issued bigint NOT NULL DEFAULT 0;
