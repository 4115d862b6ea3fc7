"""Pages without a product to read, and what each is."""

from __future__ import annotations

from tests.support.products.corpus.snippet import Snippet, ld, offer, page, product

_LIST = {
    "@type": "ItemList",
    "itemListElement": [{"@type": "ListItem", "item": product(name=name)} for name in ("Kettle", "Pot", "Cup")],
}
_TEXT = "<p>" + "We write about tea, kettles and cups, and what makes them last. " * 20 + "</p>"


def _(shape: str, refused: str, why: str, head: str = "", body: str = "") -> Snippet:
    return Snippet(shape, page(head, body), {"refused": refused}, why)


SNIPPETS = [
    _("article", "NotAProduct", "words about things are no offer", "<title>Our new mugs</title>" + ld({"@type": "Article", "headline": "Our new mugs"}), "<h1>Our new mugs</h1>" + _TEXT),
    _("front page", "NotAProduct", "a shop, no product", ld({"@type": "Organization", "name": "Shop"}), "<h1>Welcome</h1>" + _TEXT),
    _("category by ItemList", "CategoryPage", "a list of products", "<title>Kitchen</title>" + ld(_LIST), "<h1>Kitchen</h1>"),
    _("category by many products", "CategoryPage", "side by side, none the page's", "<title>Kitchen</title>" + ld([product(name=name) for name in ("Kettle", "Pot", "Cup", "Pan")]), "<h1>Kitchen</h1>"),
    _("category by CollectionPage", "CategoryPage", "the page says so", ld({"@type": "CollectionPage", "name": "Kitchen"}), "<h1>Kitchen</h1>" + _TEXT),
    _("category by microdata", "CategoryPage", "one item a tile", "<title>Kitchen</title>",
        "<h1>Kitchen</h1>" + "".join(f'<div itemscope itemtype="https://schema.org/Product"><a itemprop=url href=/p/{n}><b itemprop=name>{n}</b></a></div>' for n in ("Kettle", "Pot", "Cup", "Pan"))),
    _("category without data", "CategoryPage", "many prices and links", "<title>Kitchen</title>", "<h1>Kitchen</h1>" + "".join(f"<a href=/p/{n}>Thing {n}</a> <b>{n},00 €</b>" for n in range(10, 30))),
    _("Cloudflare's challenge", "BlockedPage", "a browser check", "<title>Just a moment...</title>", '<h1>shop.example</h1><p>Verify you are human by completing the action below.</p><script src="/cdn-cgi/challenge-platform/x.js"></script>'),
    _("DataDome's captcha", "BlockedPage", "a captcha in a frame", "<title>shop.example</title>", '<script src="https://geo.captcha-delivery.com/c.js"></script><p>Please enable JS and disable any ad blocker</p>'),
    _("press and hold", "BlockedPage", "a proof of hands", "<title>Access to this page has been denied</title>", "<p>Press &amp; Hold to confirm you are a human (and not a bot).</p><div id=px-captcha></div>"),
    _("robot check", "BlockedPage", "letters to type", "<title>Robot Check</title>", "<p>Enter the characters you see below</p><form><img src=/captcha/x.jpg><input></form>"),
    _("access denied", "BlockedPage", "an edge server's refusal with status 200", "<title>Access Denied</title>", "<h1>Access Denied</h1><p>You don't have permission to access this page. Reference #18.2d</p>"),
    _("consent", "ConsentPage", "cookies first", "<title>Before you continue</title>", "<h1>Before you continue</h1><p>We use cookies. <button>Accept all cookies</button> <button>Reject</button></p>"),
    _("consent in German", "ConsentPage", "cookies first", "<title>shop.example</title>", "<p>Wir schätzen Ihre Privatsphäre.</p><button>Alle akzeptieren</button>"),
    _("age gate", "ConsentPage", "age first", "<title>Spirits</title>", "<h1>Are you over 18?</h1><button>Yes</button><button>No</button>"),
    _("cookies only, in German", "ConsentPage", "hardly anything but the question", "<title>Shop</title>", "<p>Diese Website verwendet Cookies. Stimmen Sie bitte zu.</p><button>Akzeptieren</button>"),
    _("waiting room", "RetryLater", "in a while it is one's turn", "<title>Queue-it</title>", "<h1>You are now in line</h1>"),
    _("maintenance", "RetryLater", "in a while it is back", "<title>Wartungsarbeiten</title>", "<h1>Wir sind gleich zurück</h1>"),
    _("login", "LoginPage", "customers only", "<title>Sign in</title>", "<h1>Sign in</h1><form><input name=user><input type=password></form>"),
    _("soft 404", "MissingPage", "gone, with status 200", "<title>Page not found – Shop</title>", "<h1>Oops</h1><p>We could not find that.</p>"),
    _("soft 404 in French", "MissingPage", "gone, with status 200", "<title>Shop</title>", "<h1>Page introuvable</h1>"),
    _("needs JavaScript", "NeedsJavaScript", "the page says so", "<title>Shop</title>", "<noscript>You need to enable JavaScript to run this app.</noscript><div id=root></div><script src=a.js></script>"),
    _("needs JavaScript, in Russian", "NeedsJavaScript", "the page says so", "<title>Магазин</title>", "<p>Включите JavaScript</p><script src=a.js></script>"),
    _("app shell", "AppShell", "an empty element for scripts to fill", "<title>Shop</title>", "<div id=__next></div><script src=a.js></script><script src=b.js></script>"),
    _("app shell with a spinner", "AppShell", "scripts, and hardly a word", "<title>Shop</title>", "<div class=app><p>Loading…</p></div><script src=a.js></script><script src=b.js></script><script src=c.js></script>"),
    Snippet("empty", "", {"refused": "EmptyPage"}, "nothing at all"),
    Snippet("blank", "<html><body>  \n </body></html>", {"refused": "EmptyPage"}, "nothing to see"),
    _("truncated JSON-LD", "NotAProduct", "a text that ends inside a value is not read", ld('{"@type": "Product", "name": "Stool", "offers": {"price": "19.'), "<h1>Stool</h1>"),
    Snippet("a captcha beside a product", page(ld(product()), '<h1>Brass kettle</h1><form class="review"><div class="g-recaptcha"></div></form>'), {"price": "24.50"}, "a captcha for reviews blocks nothing"),
    Snippet("a cookie banner over a product", page(ld(product(offers=offer())), "<h1>Brass kettle</h1><div id=banner>We value your privacy. Accept all cookies</div>"), {"price": "24.50"}, "a banner hides nothing from us"),
]  # fmt: skip
