"""What good data is: suites as plain functions, and check.py, which runs one."""
