"""What goes in and out of a model in use, and what a change in it is."""
