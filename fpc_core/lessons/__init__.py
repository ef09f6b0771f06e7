"""Lesson that explains the method in ten short steps with the numbers of one query."""
