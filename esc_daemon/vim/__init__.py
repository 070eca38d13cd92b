"""The VIM port and its drivers."""
