"""What stands around JSON-LD, and what is wrong inside it."""

from __future__ import annotations

import json

from tests.support.products.corpus.snippet import KETTLE, Snippet, ld, page, product

_SITE = json.dumps({"@context": "https://schema.org", "@type": "WebSite", "name": "Kettle Corner"})
_TEXT = json.dumps(product())


def _wrapped(shape: str, wrap: str, why: str) -> Snippet:
    return Snippet(shape, page(ld(product(), wrap)), KETTLE, why)


def _written(shape: str, text: str, why: str, right: dict[str, object] | None = None) -> Snippet:
    return Snippet(shape, page(ld(text)), right or dict(KETTLE), why)


SNIPPETS = [
    _wrapped("plain", "{}", "the standard's own shape"),
    _wrapped("//<![CDATA[", "//<![CDATA[\n{}\n//]]>", "an XHTML template's usual mask"),
    _wrapped("// <![CDATA[ with blanks", "// <![CDATA[\n{}\n// ]]>", "the same, typed by hand"),
    _wrapped("/* <![CDATA[ */", "/* <![CDATA[ */ {} /* ]]> */", "WordPress masks scripts like this"),
    _wrapped("bare <![CDATA[", "<![CDATA[{}]]>", "an XML template without the mask"),
    _wrapped("one line of CDATA", "//<![CDATA[{}//]]>", "a minifier took the line breaks"),
    _wrapped("CDATA in comments", "<!--//--><![CDATA[//><!--\n{}\n//--><!]]>", "Drupal's triple mask"),
    _wrapped("; before ]]>", "//<![CDATA[\n{};\n//]]>", "a statement's semicolon"),
    _wrapped("<!-- --> around", "<!--\n{}\n-->", "hidden from browsers of 1996"),
    _wrapped("HTML comment before", "<!-- SEO plugin 3.1 -->\n{}", "a plugin signs its work"),
    _wrapped("HTML comment after", "{}\n<!-- /SEO plugin -->", "and signs off"),
    _wrapped("// comment before", "// product facts\n{}", "a template's note"),
    _wrapped("/* */ comment before", "/* seo */\n{}", "a template's note"),
    _wrapped("// comment after", "{} // generated", "a template's note"),
    _wrapped("semicolon after", "{};", "JSON taken for a statement"),
    _wrapped("assignment", "var product = {};", "JSON-LD taken for JavaScript"),
    _wrapped("window property", "window.__product = {};", "the same, global"),
    _wrapped("byte order mark", "\ufeff{}", "saved by an editor for Windows"),
    _wrapped("zero-width space", "\u200b{}\u200b", "pasted from a word processor"),
    _wrapped("two objects", _SITE + "\n{}", "two templates in one script"),
    _wrapped("two objects and a comma", _SITE + ",\n{}", "a list without its brackets"),
    _wrapped("in a list in a list", "[[{}]]", "each layer of a shop system adds one"),
    _wrapped("@graph", '{"@context": "https://schema.org", "@graph": [' + _SITE + ", {}]}", "Yoast's shape"),
    _wrapped("@graph in @graph", '{"@graph": [{"@graph": [{}]}]}', "a plugin wraps another plugin's"),
    _written("comment inside", _TEXT.replace('"offers"', '/* price */ "offers"'), "a template's note between members"),
    _written("// comment inside", _TEXT.replace('"offers"', '// see {x}\n"offers"'), "a template's note with a brace"),
    _written("HTML comment inside", _TEXT.replace('"offers"', '<!-- price --> "offers"'), "a debug mode's marks"),
    _written("comment marks in a text", json.dumps(product(description="a // b /* c */ <!-- d -->")) + ";", "texts keep what looks like a comment"),
    _written("trailing commas", _TEXT.replace("}}", ",},}"), "a loop writes a comma after each member"),
    _written("double comma", _TEXT.replace('"offers"', ', "offers"'), "a member left empty"),
    _written("missing comma", _TEXT.replace(', "offers"', '\n"offers"'), "a member added by hand"),
    _written("single quotes", _TEXT.replace('"', "'"), "JavaScript's other quotes"),
    _written("bare keys", '{"@type": "Product", name: "Brass kettle", offers: {price: 24.50, priceCurrency: "EUR"}}', "JavaScript's keys"),
    _written("undefined and NaN", _TEXT.replace('"offers"', '"sku": undefined, "weight": NaN, "offers"'), "JavaScript's values"),
    _written("empty value", _TEXT.replace('"offers"', '"sku": , "offers"'), "a variable that was not set"),
    _written("quote in a text", _TEXT.replace("Brass kettle", 'Brass kettle 7" wide'), "inches, unescaped", {**KETTLE, "name": 'Brass kettle 7" wide'}),
    _written("line break in a text", _TEXT.replace("Brass kettle", "Brass\nkettle"), "pasted over two lines"),
    _written("tab and control character", _TEXT.replace("Brass kettle", "Brass\t\x1fkettle"), "from a terminal or a PDF"),
    _written("bad escape", _TEXT.replace("Brass kettle", "Brass kettle \\'L\\'"), "escaped for JavaScript", {**KETTLE, "name": "Brass kettle 'L'"}),
    _written("decimal comma without quotes", _TEXT.replace('"24.50"', "24,50"), "a German number format in a template"),
    _written("entity-escaped", _TEXT.replace('"', "&quot;"), "escaped as HTML, in a script"),
    _written("escaped twice", _TEXT.replace('"', "&amp;quot;"), "escaped as HTML, twice"),
    _written("numeric entities", _TEXT.replace('"', "&#34;"), "escaped as HTML, by number"),
    _written("JSON in JSON", json.dumps(_TEXT), "encoded twice"),
    _written("JSON in JSON in JSON", json.dumps(json.dumps(_TEXT)), "encoded three times"),
    _written("text of JSON without its quotes", _TEXT.replace('"', '\\"'), "encoded twice, unquoted once"),
    _written("JSON.parse", f"var p = JSON.parse({json.dumps(_TEXT)});", "a script that parses"),
    _written("digits grouped without quotes", _TEXT.replace('"24.50"', "1,299.00"), "an American number format in a template", {**KETTLE, "price": "1299.00"}),
    _written("typographic quotes", _TEXT.replace('"', "”"), "pasted from a word processor"),
    _written("in a function", "(function () { return " + _TEXT + "; })()", "a script that returns it"),
    _written("@graph as a text", json.dumps({"@graph": json.dumps([product()])}), "encoded once too often, inside"),
    _written("half a character", _TEXT.replace("Brass", "\\ud83d Brass"), "an emoji cut in two"),
    _written("last brace missing", _TEXT[:-1], "a template lost its end; nothing is left open but brackets"),
    Snippet("type with parameters", page(ld(product()).replace("ld+json", "LD+JSON; charset=utf-8")), KETTLE, "a MIME type may have them"),
    Snippet("type without quotes", page(ld(product()).replace('"application/ld+json"', "application/ld+json")), KETTLE, "HTML allows it"),
    Snippet("commented-out block", page("<!--" + ld(product(name="Old kettle", offers={"price": "1"})) + "-->" + ld(product())), KETTLE, "browsers do not see it"),
    Snippet("a broken block before", page(ld('{"@type": "Product", "name": ') + ld(product())), KETTLE, "one broken block hides no other"),
    Snippet("page nested deeper than parsers go", page("", "<div>" * 3000 + ld(product())), KETTLE, "the tree ends, the script does not"),
]  # fmt: skip
