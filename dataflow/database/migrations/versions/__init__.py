"""One file for each form of the tables, in the order of their numbers; a form that was released is never changed."""
