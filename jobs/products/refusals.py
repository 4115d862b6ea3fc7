"""Why a page cannot be read: one class a cause, so that dead letters group by it. Each message says what to do."""

from __future__ import annotations

from worker.retry import PermanentError


class UnreadablePage(PermanentError):
    """The page answers, but there is no product to read on it."""

    sentence = "the page cannot be read; give the address of one product's own page"

    def __init__(self, sentence: str = "") -> None:
        super().__init__(sentence or self.sentence)


class NotAProduct(UnreadablePage):
    """A page of another kind."""

    sentence = (
        "the page is not a product's: it has neither a schema.org Product nor an OpenGraph price; "
        "give the address of one product's own page"
    )


class NamelessProduct(UnreadablePage):
    """A product's page that does not say which."""

    sentence = "the page describes a product without a name; give the address of its own page"


class CategoryPage(UnreadablePage):
    """A list of products."""

    sentence = "the page lists products and is about none of them; give the address of one product's own page"


class BlockedPage(UnreadablePage):
    """A captcha, or another proof that robots cannot give."""

    sentence = (
        "the shop shows this service a page that asks visitors to prove that they are people (a captcha or a browser "
        "check) instead of the product; it cannot be read from here: give another shop's page of the product"
    )


class ConsentPage(UnreadablePage):
    """Cookies, age or country come first."""

    sentence = (
        "the shop asks visitors for consent (to cookies), their age or their country before it shows anything; it "
        "cannot be read from here: give an address that shows the product at once"
    )


class LoginPage(UnreadablePage):
    """Only for customers."""

    sentence = "the page wants a login before it shows anything; give a page that everybody can see"


class MissingPage(UnreadablePage):
    """A page that says, with status 200, that there is none."""

    sentence = "the shop says that there is no such page, or that it has gone; check the address"


class NeedsJavaScript(UnreadablePage):
    """A page that asks for JavaScript."""

    sentence = (
        "the page says that it needs JavaScript, which this service does not run, and has no product's data without; "
        "give another shop's page of the product"
    )


class AppShell(UnreadablePage):
    """A frame that scripts fill."""

    sentence = (
        "the page is an empty frame that scripts fill in a browser, and has no product's data itself; "
        "give another shop's page of the product"
    )


class EmptyPage(UnreadablePage):
    """Nothing at all."""

    sentence = "the page is empty: it has neither text nor data; check the address"


class PageTooCostly(UnreadablePage):
    """A page that takes more time than any product's."""

    sentence = (
        "reading the page took longer than any product's page takes: its markup nests, repeats or refers without end; "
        "give the address of the product's own page"
    )
