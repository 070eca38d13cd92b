"""The HTTP listener, health and metrics: what every HTTP room and the SSH room stand on."""
