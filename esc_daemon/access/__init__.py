"""Who may come in: users, password hashes, keys, and the brake on guessing."""
