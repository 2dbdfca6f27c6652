"""| logger | pod | log queue; held backbone; age | log queue, store, config snapshot | store (through log_batch), backbones, log queue |"""
