"""Lesson that explains the method in nine short steps with the numbers of one query."""
