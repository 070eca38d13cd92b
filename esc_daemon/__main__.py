"""``python -m esc_daemon``, and the program ``esc_daemon``."""

import signal


def main() -> None:
    """Run the command line; leaves by SystemExit."""
    # A reload that comes before there is anything to reload must not end what is starting.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from esc_daemon.cli import cli  # noqa: PLC0415  takes its time, in which a SIGHUP may come

    cli(prog_name="esc_daemon")


if __name__ == "__main__":
    main()
