"""The RPCs, one file for each or for a few that belong together; importing registers them."""

from typing import Final

from esc_daemon.northbound.ssh.dispatch import handled
from esc_daemon.northbound.ssh.rpcs import commit as commit
from esc_daemon.northbound.ssh.rpcs import edit_config as edit_config
from esc_daemon.northbound.ssh.rpcs import get as get
from esc_daemon.northbound.ssh.rpcs import lock as lock
from esc_daemon.northbound.ssh.rpcs import schema as schema
from esc_daemon.northbound.ssh.rpcs import session as session
from esc_daemon.northbound.ssh.rpcs import subscription as subscription

HANDLERS: Final = handled()
"""What is registered, by (namespace, name)."""
