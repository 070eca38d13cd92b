"""Start from the shell: `esc_nc_cli` or `python -m esc_nc_cli`."""

from esc_nc_cli import cli


def main() -> None:
    cli.main(prog_name="esc_nc_cli")


if __name__ == "__main__":
    main()
