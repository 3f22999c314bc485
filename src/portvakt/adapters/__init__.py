"""Frameworks meet the guard here. Each adapter imports the guard's door and its own framework."""
