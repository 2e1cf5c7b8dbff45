"""Sizes of models: presets as YAML files, and `presets.py`, which reads them."""
