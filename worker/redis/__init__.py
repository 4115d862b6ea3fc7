"""How Redis is spoken to, and what can go wrong: clients, scripts, troubles and outages."""
