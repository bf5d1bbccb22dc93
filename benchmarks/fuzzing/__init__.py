"""Damaged and hostile files: everything that reads one has to end in a result or in words."""
