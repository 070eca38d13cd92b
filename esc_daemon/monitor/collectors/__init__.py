"""Those who measure, one module for each way of measuring."""
