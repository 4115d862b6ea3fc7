"""Read a product page: from its text to one product, and what that is known by.

`markup` splits the text, `tree` and `page` look at it, `json_ld`, `microdata`, `rdfa` and `metas` read what it says for
machines into one `graph`, `identity` picks the product that the page is about, `offers` its price, `ratings` what
buyers say, `visible` what people see, and `refusals` says why there is nothing to read. A page is a stranger's text:
each of them works within `budget`.
"""
