"""Your language model. Every module under this package is yours to read, and most of them are yours to write."""
