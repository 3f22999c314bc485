"""``python -m portvakt`` is the same as ``portvakt``."""

from portvakt.cli import main

if __name__ == "__main__":
    main()
