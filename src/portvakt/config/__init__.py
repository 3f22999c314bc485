"""The policy file: its tables, how they are read, and what is made of them."""
