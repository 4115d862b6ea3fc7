"""One file a page: what it shows, as data; ``templates/`` has how it looks, and JSON is the data as they are."""
