"""The processes of one instance and what they share; nothing here knows Redis or RQ."""
