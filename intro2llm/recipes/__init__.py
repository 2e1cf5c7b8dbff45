"""Short programs over your own classes. Given. Each runs by hand, `python -m intro2llm.recipes.generate --help`."""
