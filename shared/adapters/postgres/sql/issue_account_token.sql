UPDATE backbone_keys SET issued = greatest(issued + 1, %(now)s) WHERE backbone = %(backbone)s RETURNING issued
