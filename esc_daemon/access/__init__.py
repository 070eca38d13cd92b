"""Who may do what: users and their proofs."""
