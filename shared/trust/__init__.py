"""Who may connect to a backbone: its operator, account and users, and the tokens they are known by."""
