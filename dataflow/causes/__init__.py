"""Why elements failed, grouped by what was raised and where: values, the grouping, and its text."""
