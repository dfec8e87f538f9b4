"""What is wrong with what a student's function returned: one module a subject, one judge a function."""
