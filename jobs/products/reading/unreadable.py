"""Tell why a page without a product's data has none."""

from __future__ import annotations

import re

from jobs.products.reading.graph import Graph
from jobs.products.reading.identity import Choice
from jobs.products.reading.page import PageFacts
from jobs.products.refusals import (
    AppShell,
    BlockedPage,
    CategoryPage,
    ConsentPage,
    EmptyPage,
    LoginPage,
    MissingPage,
    NeedsJavaScript,
    NotAProduct,
    UnreadablePage,
)
from worker.retry import RetryLater

#: How much of a page is searched for signs, in characters; and how much text a page with nothing to tell may have.
_SEARCHED = 200_000
_SHORT = 3_000
_BARE = 800

_CHALLENGES = re.compile(
    r"cf[-_]chl|cf-challenge|challenge-platform|cdn-cgi/challenge|just a moment\.\.\.|attention required! \| cloudflare|ddos-guard|"
    r"_incapsula_resource|incapsula incident|px-captcha|captcha-delivery\.com|errors\.edgesuite\.net|awswaf\.com/|enter the characters you see|"
    r"kpsdk|kasada|"
    r"(?:press (?:&amp;|&|and) hold|robot check|are you (?:a )?(?:human|robot)|not a robot|verify (?:that )?you are (?:a )?human|"
    r"unusual traffic|automated access|pardon our interruption|checking your browser|access to this page has been denied|"
    r"confirm you are human|prove you are human|kein roboter|sind sie ein mensch|pas un robot|no (?:soy|eres) un robot|"
    r"non sono un robot|não sou um robô|geen robot|nie jestem robotem|я не робот|вы не робот|ロボットではありません|我不是机器人|安全验证|人机验证)",
    re.IGNORECASE,
)
#: What many pages have for their forms, too: a sign only where there is nothing else.
_CAPTCHAS = re.compile(r"captcha|turnstile|geetest|arkoselabs|datadome|aws-?waf", re.IGNORECASE)
_DENIED = re.compile(
    r"^\s*(?:access denied|403 forbidden|forbidden|request blocked|blocked|zugriff verweigert|accès refusé)",
    re.IGNORECASE,
)
_CONSENT = re.compile(
    r"before you continue|bevor sie fortfahren|avant d.accéder|antes de continuar|prima di continuare|voordat je verdergaat|"
    r"(?:accept|agree to|allow|manage) (?:all )?(?:the )?cookies|cookies? (?:akzeptieren|zustimmen|erlauben)|alle akzeptieren|"
    r"accepter (?:tous )?les cookies|tout accepter|aceptar (?:todas )?(?:las )?cookies|accetta (?:tutti )?i cookie|aceitar (?:todos os )?cookies|"
    r"cookies accepteren|akceptuj(?:ę)? (?:wszystkie )?(?:pliki )?cookies?|we value your privacy|wir schätzen ihre privatsphäre|"
    r"are you (?:over|at least|aged?) (?:18|19|21)|age verification|verify your age|altersprüfung|altersverifikation|vérification de l.âge|"
    r"verificación de edad|(?:choose|select) your (?:country|region)|wählen sie ihr land|choisissez votre pays",
    re.IGNORECASE,
)
_JAVASCRIPT = re.compile(
    r"(?:enable|activate|turn on|requires?|needs?|without|switch on) java ?script|java ?script (?:is |must be |to be )?(?:disabled|required|needed|enabled|deaktiviert|"
    r"aktivieren|erforderlich|désactivé|requis|desactivado|necesario|disabilitato|richiesto|desativado|uitgeschakeld|wyłączon\w+|отключ[её]н)|"
    r"aktivieren sie (?:bitte )?java ?script|activ(?:ez|er) java ?script|(?:habilit[ae]r?|activ[ae]r?) java ?script|abilit[ai]re? java ?script|ative o java ?script|"
    r"schakel java ?script|włącz(?:yć)? (?:obsługę )?java ?script|включите java ?script|java ?scriptを有効|(?:启用|啟用|开启) ?java ?script|java ?script'?i etkinleştir|자바스크립트",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"\b404\b|(?:page|product|item) (?:was |could )?not (?:be )?found|page doesn.t exist|no longer exists|nicht gefunden|existiert nicht|introuvable|n.existe (?:pas|plus)|"
    r"no (?:se )?(?:encontrad[ao]|existe)|non (?:è stat[ao] )?trovat[ao]|não (?:foi )?encontrad[ao]|niet gevonden|bestaat niet|nie (?:została )?znalezion[aoy]|"
    r"не найден[ао]?|見つかりません|ページがありません|找不到|不存在|bulunamadı|찾을 수 없",
    re.IGNORECASE,
)
_CLOSED = re.compile(
    r"waiting room|queue-it|you are (?:now )?in (?:line|the queue)|warteschlange|wartezimmer|file d.attente|en la cola|sala de espera|in coda|wachtrij|"
    r"(?:under|for|down for|scheduled) maintenance|^maintenance|(?:be|coming) (?:right )?back (?:soon|shortly)|wartungs(?:arbeiten|modus)|en maintenance|"
    r"en mantenimiento|in manutenzione|em manutenção|in onderhoud|przerwa techniczna|prace techniczne|технические работы|メンテナンス|维护中|維護中|bakım",
    re.IGNORECASE,
)
_ACCEPT = re.compile(
    r"\b(?:accept|agree|consent|akzeptier|zustimm|stimmen|einverstanden|accepter|aceptar|accett|aceit|akkoord|accepteer|akceptuj|zgadzam|принять|соглас|kabul)|同意|동의",
    re.IGNORECASE,
)
_LISTS = frozenset({"itemlist", "collectionpage", "searchresultspage", "offercatalog", "productcollection"})


def is_challenge(html: str, *, bare: bool) -> bool:
    """Return whether an answer without a product asks for a proof that robots cannot give.

    `bare` says that there is hardly anything else to it, so that a captcha is its point.
    """
    html = html[:_SEARCHED]
    return _CHALLENGES.search(html) is not None or (bare and _CAPTCHAS.search(html) is not None)


def why_unreadable(page: str, facts: PageFacts, graph: Graph, choice: Choice) -> UnreadablePage | RetryLater:
    """Return the error that says why no product was found on `page`; `RetryLater` where one may be there later."""
    heads = " | ".join([facts.title, *facts.headings])
    short = facts.seen_length < _SHORT
    if short and (
        is_challenge(page, bare=facts.seen_length < _BARE) or _DENIED.search(facts.title) or _DENIED.search(facts.text)
    ):
        return BlockedPage()
    if _MISSING.search(heads) or (facts.seen_length < 300 and _MISSING.search(facts.text)):
        return MissingPage()
    if short and facts.passwords:
        return LoginPage()
    if short and (_CONSENT.search(heads) or _CONSENT.search(facts.text) or _asks_for_cookies(facts)):
        return ConsentPage()
    if _CLOSED.search(heads) or (facts.seen_length < _BARE and _CLOSED.search(facts.text)):
        return RetryLater(
            "the shop is closed for maintenance, or lets visitors wait in line; the page is tried again later",
            after=900.0,
        )
    kinds = {kind for node in graph.nodes for kind in node.types}
    og_type = facts.properties.get("og:type", "").lower()
    if choice.listed > 1 or kinds & _LISTS or "product.group" in og_type or "product_group" in og_type:
        return CategoryPage()
    if short and _JAVASCRIPT.search(page[:_SEARCHED]):
        return NeedsJavaScript()
    if facts.empty_roots or (facts.seen_length < 300 and facts.scripts and not graph.nodes):
        return AppShell()
    if not facts.seen_length and not (graph.nodes or facts.properties or facts.title or facts.json_ld):
        return EmptyPage()
    if len({one.value for one in facts.seen if not one.kind}) >= 6 and facts.links >= 6:
        return CategoryPage()
    return NotAProduct()


def _asks_for_cookies(facts: PageFacts) -> bool:
    """Return whether a page has hardly anything but the question for cookies."""
    if facts.seen_length >= _BARE or "cookie" not in facts.text.lower():
        return False
    return _ACCEPT.search(facts.text) is not None
