"""A shop that sells toys."""
