"""Mathematical answers: whether two of them are equal, and problems that are judged by it."""
