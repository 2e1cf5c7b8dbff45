"""From text to token ids and back (lesson 01)."""
