"""For course authors: deriving stubs, proving a lesson, beginning a new one."""
