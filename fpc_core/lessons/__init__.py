"""The method in nine short steps, told with the numbers of one query."""
