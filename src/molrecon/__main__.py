"""``python -m molrecon``."""

from molrecon.cli.main import run

if __name__ == "__main__":
    run()
