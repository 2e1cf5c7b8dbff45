"""The dashboard, a Textual application. Textual costs half a second to import: only `dashboard` itself does it."""
