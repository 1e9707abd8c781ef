"""The published model behind HTTP; what goes in and out is kept for monitoring."""
