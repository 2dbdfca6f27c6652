INSERT INTO backbone_keys AS kept (backbone, sealed) VALUES (%(backbone)s, %(sealed)s)
ON CONFLICT (backbone) DO UPDATE SET sealed = excluded.sealed WHERE kept.sealed = %(before)s
