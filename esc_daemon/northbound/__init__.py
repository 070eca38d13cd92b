"""The doors: NETCONF over SSH, HTTP."""
