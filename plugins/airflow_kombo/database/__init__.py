"""The user's databases: connections, transactions, dialects, bulk writes."""
