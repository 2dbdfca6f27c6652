SELECT revision FROM config_state
