"""Human ratings in the formats of others, as the project's own cases."""
