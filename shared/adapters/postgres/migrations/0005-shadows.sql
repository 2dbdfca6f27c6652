-- depends: 0004-config-documents
-- What shadow policies would have done to a message: a list as JSON, NULL where there is nothing to say, as nearly always. Text: jsonb
-- refuses U+0000, and a message must not be lost to quarantine for what a policy says.

ALTER TABLE messages ADD COLUMN IF NOT EXISTS shadows text COLLATE "C";
