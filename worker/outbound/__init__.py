"""Requests on somebody else's word: to public addresses only, within a deadline, following no redirect."""
