"""The job package of a storm."""
