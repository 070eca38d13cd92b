"""``python -m esc_daemon``, and the program ``esc_daemon``."""

from esc_daemon.cli import cli


def main() -> None:
    """Run the command line; leaves by SystemExit."""
    cli(prog_name="esc_daemon")


if __name__ == "__main__":
    main()
