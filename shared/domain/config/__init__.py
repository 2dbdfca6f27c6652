"""Config documents: what they may say, and what several of them say together."""
