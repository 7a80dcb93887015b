"""Programming problems of our own, one file each."""
