"""A sample API behind the guard, and honest and hostile requests sent at it over real HTTP."""
