SELECT sealed FROM backbone_keys WHERE backbone = %(backbone)s
