"""What made the tables what they are, step by step, forward only."""
