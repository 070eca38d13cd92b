"""A VNF manager that speaks the northbound language of Cisco ESC."""
