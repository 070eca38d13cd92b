"""The shell client: a NETCONF client with ESC's own words."""
