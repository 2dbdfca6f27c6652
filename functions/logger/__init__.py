"""| logger | pod | log queue; a held backbone | log queue, store, config snapshot | store (through log_batch), backbones, log queue |"""
