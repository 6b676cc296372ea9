"""The templates: their resolved resources, names, limits and policies."""
