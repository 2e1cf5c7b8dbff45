"""The layers of the transformer, and the configuration that they share (lessons 01–05, 14, 15)."""
