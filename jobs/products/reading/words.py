"""The words of shops: availability and condition as schema.org, feeds and templates spell them, in the languages of the
largest shop countries, and what the words beside an amount say that it is.

The languages are English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian, Japanese, Chinese,
Turkish, Korean and Swedish.
"""

from __future__ import annotations

import re
import unicodedata

#: schema.org's names, folded, and other spellings of the same.
_AVAILABILITY: dict[str, str] = {
    **{name.lower(): name for name in (
        "InStock", "InStoreOnly", "LimitedAvailability", "MadeToOrder", "OnlineOnly", "PreOrder", "PreSale", "BackOrder",
        "Reserved", "OutOfStock", "SoldOut", "Discontinued",
    )},
    **dict.fromkeys(("available", "availablefororder", "availablenow", "true", "yes", "1", "onstock", "stock", "instocknow",
                     "orderable", "buyable", "lowstock", "onsale", "forsale"), "InStock"),
    **dict.fromkeys(("oos", "unavailable", "notavailable", "false", "no", "0", "nostock", "notinstock", "outstock",
                     "temporarilyoutofstock", "currentlyunavailable", "temporarilyunavailable", "nolongerinstock", "pending",
                     "outofstockonline", "none", "soldoutonline"), "OutOfStock"),
    **dict.fromkeys(("nolongeravailable", "permanentlyoutofstock", "endoflife", "eol", "retired", "obsolete"), "Discontinued"),
    **dict.fromkeys(("comingsoon", "preorderable", "availableforpreorder"), "PreOrder"),
    **dict.fromkeys(("onbackorder", "backordered", "availableonbackorder"), "BackOrder"),
    **dict.fromkeys(("limitedstock", "limited", "fewleft", "onlyfewleft"), "LimitedAvailability"),
    **dict.fromkeys(("instoreonlyavailable", "storeonly", "pickuponly"), "InStoreOnly"),
}  # fmt: skip
#: Phrases of texts for people, folded, by what they mean; looked for in this order, as parts of a text: "not available"
#: holds "available".
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Discontinued", (
        "discontinued", "no longer available", "no longer sold", "nicht mehr lieferbar", "nicht mehr verfugbar", "nicht mehr erhaltlich",
        "auslaufartikel ausverkauft", "n est plus disponible", "plus commercialise", "arrete", "descatalogado", "ya no esta disponible",
        "discontinuado", "fuori produzione", "non piu disponibile", "fora de linha", "descontinuado", "niet meer leverbaar",
        "uit assortiment", "wycofany", "снят с производства", "снято с производства", "生産終了", "販売終了", "停产", "已停产", "下架",
        "已下架", "단종", "uretimden kalkti", "utgatt", "har utgatt",
    )),
    ("PreOrder", (
        "pre order", "preorder", "vorbestell", "precommande", "reserva ya", "preventa", "preordine", "prenotabile", "pre venda",
        "pre encomenda", "pre orderen", "przedsprzedaz", "предзаказ", "予約", "预售", "預購", "on siparis", "예약", "forhandsbok",
    )),
    ("BackOrder", (
        "back order", "backorder", "nachbestell", "sur commande", "bajo pedido", "su ordinazione", "sob encomenda", "nabestelling",
        "na zamowienie", "под заказ", "取り寄せ", "お取り寄せ", "可订购", "bestallningsvara",
    )),
    ("OutOfStock", (
        "out of stock", "sold out", "not in stock", "not available", "unavailable", "no stock", "notify me when",
        "ausverkauft", "nicht verfugbar", "nicht lieferbar", "nicht auf lager", "nicht vorratig", "vergriffen", "derzeit nicht",
        "en rupture", "rupture de stock", "rupture", "epuise", "indisponible", "non disponible", "pas disponible", "pas en stock",
        "agotado", "sin stock", "no disponible", "sin existencias", "fuera de stock",
        "esaurito", "non disponibile", "non in stock", "terminato", "indisponivel", "esgotado", "sem estoque", "sem stock",
        "fora de estoque", "nao disponivel", "uitverkocht", "niet op voorraad", "niet leverbaar", "niet beschikbaar",
        "wyprzedan", "niedostepn", "brak w magazynie", "brak towaru", "chwilowo brak", "produkt niedostepny",
        "нет в наличии", "нет на складе", "распродан", "недоступен", "закончился", "отсутствует",
        "在庫切れ", "在庫なし", "在庫無し", "売り切れ", "売切れ", "品切れ", "完売", "入荷待ち", "在庫がありません",
        "缺货", "缺貨", "无货", "無貨", "售罄", "已售完", "售完", "暂无库存", "无库存", "到货通知",
        "tukendi", "stokta yok", "stok yok", "mevcut degil", "품절", "재고 없음", "일시품절", "slutsald", "slut i lager", "ej i lager",
        "ikke pa lager", "ikke tilgaengelig", "udsolgt", "utsolgt", "loppuunmyyty", "ei varastossa",
    )),
    ("LimitedAvailability", (
        "limited availability", "limited stock", "few left", "only a few", "low stock", "nur noch", "wenige verfugbar", "plus que",
        "ultimas unidades", "ultimi pezzi", "ultimas pecas", "bijna uitverkocht", "ostatnie sztuki", "残りわずか", "仅剩", "僅剩", "son urunler",
    )),
    ("InStock", (
        "in stock", "available", "auf lager", "lieferbar", "verfugbar", "vorratig", "sofort", "en stock", "disponible", "disponibile",
        "disponivel", "em estoque", "em stock", "en existencia", "op voorraad", "leverbaar", "beschikbaar", "dostepn", "w magazynie",
        "в наличии", "есть на складе", "在庫あり", "在庫有り", "有货", "有貨", "现货", "現貨", "有库存", "stokta", "mevcut", "재고 있음", "구매 가능",
        "i lager", "pa lager", "varastossa",
    )),
)  # fmt: skip
_SOLD_OUT_WORDS = next(phrases for name, phrases in _PHRASES if name == "OutOfStock")

_CONDITIONS = {
    **dict.fromkeys(("new", "newcondition", "neu", "neuf", "nuevo", "nuovo", "novo", "nieuw", "nowy", "новый", "新品", "全新", "yeni"), "new"),
    **dict.fromkeys(("used", "usedcondition", "gebraucht", "occasion", "usado", "usato", "gebruikt", "uzywany", "б/у", "中古", "二手",
                     "ikinci el", "openbox", "secondhand", "preowned", "likenew"), "used"),
    **dict.fromkeys(("refurbished", "refurbishedcondition", "generaluberholt", "reconditionne", "reacondicionado", "ricondizionato",
                     "recondicionado", "odnowiony", "整備済み", "翻新", "renewed", "certifiedrefurbished"), "refurbished"),
    **dict.fromkeys(("damaged", "damagedcondition", "b-ware", "beschadigt"), "damaged"),
}  # fmt: skip


def availability(text: str) -> str:
    """Return the name of https://schema.org/ItemAvailability that `text` means, or '' when none is known."""
    text = text.strip()[:200]
    if not text:
        return ""
    name = re.split(r"[/#]", text.rstrip("/#"))[-1] if "://" in text or "schema" in text.lower() else text
    name = name.partition("?")[0].rpartition(":")[2]
    known = _AVAILABILITY.get(re.sub(r"[\W_]", "", name.lower()))
    return known or phrase(name)


def phrase(text: str) -> str:
    """Return the name of the availability that a text for people says, or ''."""
    words = f" {fold(text)} "
    return next((name for name, phrases in _PHRASES if any(_says(words, one) for one in phrases)), "")


def says_sold_out(text: str) -> bool:
    """Return whether a short text for people says no more than that a thing cannot be bought now."""
    return len(text) <= 40 and phrase(text) in {"OutOfStock", "Discontinued"}


def _says(words: str, phrase: str) -> bool:
    return (f" {phrase}" if phrase.isascii() else phrase) in words


def condition(text: str) -> str:
    """Return "new", "used", "refurbished" or "damaged", or '' when `text` names none."""
    name = re.split(r"[/#:]", text.strip()[:200].rstrip("/"))[-1] if "://" in text else text[:200]
    words = fold(name)
    known = _CONDITIONS.get(re.sub(r"[\s_-]", "", words)) or _CONDITIONS.get(words)
    return known or _CONDITIONS.get(words.partition(" ")[0], "")


def fold(text: str) -> str:
    """Return `text` in lower case without accents, with single spaces for what is neither letter nor digit."""
    plain = unicodedata.normalize("NFD", text.lower())
    plain = "".join(one for one in plain if not unicodedata.combining(one) or one > "\u0fff")
    plain = plain.replace("ł", "l").replace("ı", "i").replace("ß", "ss").replace("ø", "o").replace("ё", "е")
    return " ".join(re.sub(r"[^\w/]|_", " ", unicodedata.normalize("NFC", plain)).split())


# --- what an amount is -------------------------------------------------------------------------------------------------

_UNITS = (
    r"(?:\d{1,4}\s?)?(?:kg|kilo\w*|g|gr|mg|l|lt|ltr|liter|litre|litro|ml|cl|m|m2|m²|m3|qm|sqm|meter|metre|mtr|ft|sq\.? ?ft|yd|oz|fl\.? ?oz|lb|lbs|"
    r"st|stk|stück|stuck|stueck|piece|pieces|pc|pcs|pz|pezzo|pieza|ud|unidad|unit|ea|each|szt|шт|кг|л|个|kpl|count|ct|sheet|wash|load|tablet|"
    r"capsule|serving|blatt|tab|pod|roll)"
)
_MONTHS = r"(?:mo|mth|month|months|monat|monate|mois|mes|meses|mese|mês|mies|miesiąc|мес|месяц|月|ay|maand|mnd|mån|week|woche|wk|day|tag|jour|día|giorno|dia|night|year|jahr|yr|an|año|anno|ano)"
_BEFORE = (
    ("instalment", (r"\d\s?[x×*]\s*$|\d+\s*(?:easy |interest-free |monthly )?(?:payments?|instal?lments?|raten|monatsraten|mensualités?|cuotas|rate|parcelas|vezes|rat|termijnen|taksit|платеж\w*)\s*(?:of|à|zu|von|de|da|po|по|van|je)?\s*$"
     r"|(?:monatlich|mensuel\w*|mensual\w*|mensile|mensal|monthly|per month|pro monat|rate ab|finanzierung ab|klarna|affirm|afterpay|clearpay|分割|分期|月々)\W{0,6}(?:ab|from|für|for|desde|da|à partir de|od|от)?\W{0,3}$")),
    ("unit", r"(?:^|[\s(/])" + _UNITS + r"\s?[=:]\s*$|(?:grundpreis|unit price|prix (?:au|unitaire)|price per|preis pro|precio por|prezzo al|cena za|stukprijs|eenheidsprijs)[^.]{0,20}$"),
    ("shipping", r"(?:shipping|delivery|postage|versand\w*|lieferung|porto|livraison|frais de port|envío|envio|gastos de envío|spedizione|frete|verzend\w*|bezorg\w*|wysyłka|dostaw\w*|доставк\w*|送料|配送料|运费|運費|kargo|frakt|free over|gratis ab|ab einem bestellwert|orders over|orders above|bestellungen ab)[^.;|]{0,24}$"),
    ("deposit", r"(?:deposit|down ?payment|anzahlung|pfand|acompte|consigne|caution|depósito|entrada|cauzione|acconto|sinal|aanbetaling|statiegeld|kaucj\w*|zadatek|залог|депозит|内金|定金|押金|kapora|pant)[^.;|]{0,20}$"),
    ("trade-in", r"(?:trade[- ]?in|inzahlungnahme|eintausch|reprise|canje|recompra|permuta|inruil\w*|buy ?back|ankauf\w*|sell yours|下取り|买取|買取|以旧换新)[^.;|]{0,30}$"),
    ("membership", r"(?:members?(?:hip)?|mitglied\w*|prime|club|clubpreis|membre|adhérent|abonné|abonn\w*|subscribe[^.]{0,10}|subscription|spar-abo|socios?|associati|ledenprijs|klubow\w*|с картой|по карте|клуб\w*|会員|会员|plus[- ]?price|üye\w*|medlem\w*)[^.;|]{0,20}$"),
    ("saving", r"(?:you save|save|saving|sie sparen|sparen|gespart|ersparnis|rabatt|économi\w*|remise|réduction|ahorr\w*|descuento|risparmi\w*|sconto|economize|poupe|desconto|bespaar|korting|voordeel|oszczęd\w*|rabat|zniżk\w*|скидка|экономия|coupon|gutschein|voucher|割引|优惠|立减|省|indirim|rabat)[^.;|\d]{0,12}$"),
    ("used", r"(?:used|pre-owned|gebraucht\w*|occasion|d'occasion|segunda mano|usad[oa]s?|usat[oi]|tweedehands|używan\w*|б/у|中古|二手|refurbished|generalüberholt|reconditionné|ricondizionat[oi]|renewed|open box|b-ware|ikinci el)[^.;|\d]{0,16}$"),
    ("list", r"(?:was|rrp|srp|msrp|list(?: price)?|regular(?: price)?|reg\.?|original(?:ly| price)?|compare at|comp\. value|before|old price|statt|uvp\w*|unverb\w*[^.]{0,20}|vorher|ehemals|bisher|früher|alter preis|streichpreis|au lieu de|prix (?:conseillé|barré|public|initial|de base)|avant|antes|antes:|precio (?:anterior|original|recomendado)|pvp\w*|pvr|invece di|anziché|listino|prezzo (?:consigliato|originale|precedente)|era|preço (?:original|anterior)|adviesprijs|van|was voor|oude prijs|poprzednia cena|cena regularna|najniższa cena[^.]{0,40}|przed|старая цена|было|вместо|定価|参考価格|通常価格|希望小売価格|原价|原價|市场价|划线价|eski fiyat|정가|tidigare|ord\.? ?pris|rek\.? ?pris)\W{0,4}$"),
)  # fmt: skip
_AFTER = (
    ("instalment", r"^\W{0,3}(?:/|per|pro|par|al|por|a|im|je|na|в|w|/\s?)\s?" + _MONTHS + r"(?![^\W\d_])|^\W{0,3}(?:monthly|monatlich|mtl|mensuel|mensual\w*|mensili|mensais|miesięcznie|ежемесячно|x\s?\d+\b|×\s?\d+|[x×]\s?\d+ (?:mois|mes|monate|mesi))"),
    ("unit", r"^\W{0,3}(?:/|per|pro|par|al|au|por|le|la|je|za|за)\s?(?:le |la )?" + _UNITS + r"(?![^\W\d_])"),
    ("saving", r"^\W{0,3}(?:off|gespart|sparen|rabatt|de réduction|d'économie|de descuento|di sconto|de desconto|korting|taniej|скидка|引き|优惠|indirim|less|cheaper)\b"),
    ("list", r"^\W{0,3}(?:uvp|rrp|msrp|list price)\b(?![^.;|]{0,6}\d)"),
    ("trade-in", r"^\W{0,3}(?:trade[- ]?in|with trade|for your old|inzahlung)"),
    ("shipping", r"^\W{0,3}(?:shipping|delivery|postage|versand|lieferung|porto|livraison|envío|spedizione|frete|verzendkosten|wysyłka|доставка|送料|frakt)"),
    ("deposit", r"^\W{0,3}(?:deposit|pfand|anzahlung|consigne|statiegeld|kaucji|down|pant)\b"),
    ("membership", r"^\W{0,3}(?:for members|member price|mit prime|für mitglieder|with membership|with (?:club|plus|prime))"),
    ("used", r"^\W{0,3}(?:used|gebraucht|refurbished|d'occasion|usado|usato)\b"),
)  # fmt: skip
_BEFORE_KINDS = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _BEFORE)
_AFTER_KINDS = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _AFTER)


def kind_of_amount(before: str, after: str) -> str:
    """Return what the words beside an amount say that it is, '' for what the thing costs.

    The kinds are ``list``, ``unit``, ``instalment``, ``shipping``, ``deposit``, ``trade-in``, ``membership``, ``used``
    and ``saving``.
    """
    for kind, pattern in _AFTER_KINDS:
        if pattern.search(after):
            return kind
    before = before.rstrip()
    for kind, pattern in _BEFORE_KINDS:
        if (found := pattern.search(before)) and (
            found.start() == 0 or not (before[found.start()].isalpha() and before[found.start() - 1].isalpha())
        ):
            return kind
    return ""
