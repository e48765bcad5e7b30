"""One module per page: controls, query, figure, command."""
