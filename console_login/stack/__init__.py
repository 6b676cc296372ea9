"""What the templates make: resolved, their names, limits and policies."""
