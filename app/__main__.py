"""Where the command `inkblot`, and `python -m app`, begin."""

import gc


def main() -> None:
    gc.disable()  # of the time that the modules of a command take, an eighth was spent looking for garbage among them
    from app.cli.main import main as run

    gc.freeze()
    gc.enable()
    run()


if __name__ == "__main__":
    main()
