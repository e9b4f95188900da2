"""Where the command `inkblot`, and `python -m app`, begin."""

from app.process.collection import nothing_collected


def main() -> None:
    with nothing_collected():
        from app.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
