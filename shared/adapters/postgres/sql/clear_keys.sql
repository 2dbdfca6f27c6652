DELETE FROM new_keys
