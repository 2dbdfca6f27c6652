"""| logger | pod | log queue; a held backbone; retention | log queue, store, config snapshot | store (through log_batch), backbones, log queue |"""
