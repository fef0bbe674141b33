//! [`Words`]: every text of the pages, in both languages. Templates name a text as a field, scripts by the same name; a name
//! that is made of a prefix and a code of the API (`trap_price_outlier`) goes with that code.
//!
//! `{name}` is where a script puts a value.

use super::language::Language;

macro_rules! words {
    ($($name:ident: $en:literal, $de:literal;)+) => {
        /// The texts of one language.
        #[allow(missing_docs)]
        pub(super) struct Words {
            $(pub(super) $name: &'static str,)+
        }

        static EN: Words = Words { $($name: $en,)+ };
        static DE: Words = Words { $($name: $de,)+ };

        impl Words {
            /// All of them by name.
            pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }
    };
}

impl Words {
    /// The texts of a language.
    pub(super) fn of(language: Language) -> &'static Words {
        match language {
            Language::En => &EN,
            Language::De => &DE,
        }
    }
}

words! {
    // The frame.
    name: "English", "Deutsch";
    product_name: "Cross-market arbitrage", "Marktplatz-Arbitrage";
    description: "The same article, two Amazon marketplaces, two prices: gaps, profits and what speaks against them.",
        "Derselbe Artikel, zwei Amazon-Marktplätze, zwei Preise: Abstände, Gewinne und was gegen sie spricht.";
    skip: "Skip to the content", "Zum Inhalt springen";
    navigation: "Pages", "Seiten";
    crumbs: "You are here", "Sie sind hier";
    opportunities: "Opportunities", "Chancen";
    routes: "Routes", "Routen";
    system: "System", "Betrieb";
    api: "API", "Schnittstelle";
    language: "Language", "Sprache";
    theme: "Colours", "Farben";
    theme_auto: "System", "Automatisch";
    theme_light: "Light", "Hell";
    theme_dark: "Dark", "Dunkel";
    simulated: "Simulated data.", "Simulierte Daten.";
    simulated_means: "Prices, articles and sellers are made up. Set KEEPA_API_KEY for real ones.",
        "Preise, Artikel und Verkäufer sind erfunden. Für echte KEEPA_API_KEY setzen.";
    needs_script: "This page needs JavaScript. The same data as JSON is at /opportunities.",
        "Diese Seite braucht JavaScript. Dieselben Daten stehen als JSON unter /opportunities.";
    disclaimer: "Arithmetic on observed prices under the VAT regime you chose: no advice on tax, and no word on whether you may resell an article. Not affiliated with Amazon or Keepa.",
        "Arithmetik über beobachtete Preise unter dem gewählten Umsatzsteuerfall: keine Steuerberatung und keine Aussage, ob Sie einen Artikel weiterverkaufen dürfen. Keine Verbindung zu Amazon oder Keepa.";
    missing: "Nothing is here", "Hier ist nichts";
    missing_means: "This address leads nowhere. Perhaps a part of it was lost on the way.",
        "Diese Adresse führt ins Leere. Vielleicht ging unterwegs ein Teil von ihr verloren.";
    banner_degraded: "Not everything works: {components}. What is shown may be older than usual; see System.",
        "Nicht alles läuft: {components}. Das Gezeigte kann älter sein als sonst; siehe Betrieb.";
    banner_unreachable: "This program cannot be reached. Check that it runs; the page tries again by itself.",
        "Das Programm ist nicht erreichbar. Prüfen Sie, ob es läuft; die Seite versucht es von selbst weiter.";
    loading: "Loading …", "Wird geladen …";
    stale: "The catalog is away. These are the last known numbers, of {time} ({age} old); fresh ones come by themselves.",
        "Der Katalog ist nicht erreichbar. Dies sind die letzten bekannten Zahlen von {time} ({age} alt); neue kommen von selbst.";
    failed: "Not refreshed since {time}: {why}. What you see is from then; the page tries again by itself.",
        "Seit {time} nicht aktualisiert: {why}. Das Gezeigte ist von da; die Seite versucht es von selbst weiter.";
    failed_first: "Nothing to show yet: {why}. The page tries again by itself; System says what is wrong.",
        "Noch nichts zu zeigen: {why}. Die Seite versucht es von selbst weiter; unter Betrieb steht, was fehlt.";
    unreachable: "the program does not answer", "das Programm antwortet nicht";
    answered: "the API answers {status}", "die Schnittstelle antwortet {status}";
    not_known: "Nothing is known under this address. It may not have been looked at yet.",
        "Unter dieser Adresse ist nichts bekannt. Vielleicht wurde noch nicht danach gesehen.";
    ago: "{age} ago", "vor {age}";
    ago_word: "ago", "her";
    since: "since", "seit";
    any: "any", "beliebig";
    opens_shop: "Opens {shop} in a new tab", "Öffnet {shop} in einem neuen Tab";

    // The list.
    metric_active: "Active opportunities", "Offene Chancen";
    metric_best: "Best margin", "Beste Marge";
    metric_mean: "Mean margin", "Mittlere Marge";
    metric_products: "Products watched", "Beobachtete Artikel";
    metric_updated: "Last update", "Letzter Abruf";
    filters: "Filters", "Filter";
    filter_text: "Search", "Suche";
    filter_text_hint: "Title, brand, category or ASIN", "Titel, Marke, Kategorie oder ASIN";
    filter_margin: "Margin", "Marge";
    filter_source: "Buy in", "Kaufen in";
    filter_target: "Sell in", "Verkaufen in";
    filter_brand: "Brand", "Marke";
    filter_category: "Category", "Kategorie";
    filter_profit: "Profit from, €", "Gewinn ab, €";
    filter_confidence: "Confidence from, %", "Vertrauen ab, %";
    filter_traps: "Traps", "Fallen";
    traps_shown: "shown", "zeigen";
    traps_hidden: "hidden", "ausblenden";
    filter_limit: "Rows", "Zeilen";
    filter_more: "More filters", "Weitere Filter";
    filter_reset: "Clear filters", "Filter löschen";
    any_market: "anywhere", "überall";
    any_category: "any", "beliebig";
    at_least: "from {value}", "ab {value}";
    sort_by: "Order by", "Ordnen nach";
    opportunities_caption: "Opportunities, one a row. The buttons in the headings order the list.",
        "Chancen, eine je Zeile. Die Schaltflächen in den Überschriften ordnen die Liste.";
    column_image: "Image", "Bild";
    column_title: "Article", "Artikel";
    column_asin: "ASIN", "ASIN";
    column_buy: "Buy", "Kauf";
    column_sell: "Sell", "Verkauf";
    column_margin: "Margin", "Marge";
    column_percent: "Margin %", "Marge %";
    column_profit: "Profit", "Gewinn";
    column_roi: "ROI", "Rendite";
    column_traps: "Confidence, traps", "Vertrauen, Fallen";
    column_ages: "Prices seen", "Preise gesehen";
    column_links: "Amazon", "Bei Amazon";
    column_route: "Route", "Route";
    change_new: "new", "neu";
    change_improved: "improved", "besser";
    change_closed: "closed", "geschlossen";
    one_new: "1 new gap: show", "1 neue Chance: zeigen";
    some_new: "{count} new gaps: show", "{count} neue Chancen: zeigen";
    reordered: "The order changed: show", "Die Reihenfolge hat sich geändert: zeigen";
    count: "{shown} of {total} gaps", "{shown} von {total} Chancen";
    empty: "No gap is open right now. New ones show up here by themselves.",
        "Zurzeit ist keine Chance offen. Neue erscheinen hier von selbst.";
    empty_filtered: "No gap fits these filters. Loosen one of them, or wait: new ones show up here by themselves.",
        "Keine Chance passt zu diesen Filtern. Lockern Sie einen, oder warten Sie: neue erscheinen hier von selbst.";
    pages: "Pages of the list", "Seiten der Liste";
    previous: "← Previous", "← Zurück";
    next: "Next →", "Weiter →";
    page: "Page {page}", "Seite {page}";
    later_page: "A later page", "Eine spätere Seite";
    margin_means: "Margin is the gap between two landed prices, before VAT, fees and freight. Profit is what is left of it for your seller profile: click it for every line between the two.",
        "Marge ist der Abstand zweier Preise mit Versand, vor Umsatzsteuer, Gebühren und Fracht. Gewinn ist, was Ihrem Verkäuferprofil davon bleibt: ein Klick zeigt jede Zeile dazwischen.";
    buy_leg: "Buy", "Kauf";
    sell_leg: "Sell", "Verkauf";
    confidence: "Confidence", "Vertrauen";
    confidence_means: "How far the gap can be trusted: 100 less what each trap takes",
        "Wie weit dem Abstand zu trauen ist: 100 weniger, was jede Falle nimmt";
    not_assessed: "not assessed yet", "noch nicht geprüft";
    profit_unknown: "A cost of this route is not known", "Eine Kostenart dieser Route ist nicht bekannt";

    // One opportunity.
    gap: "Gap", "Abstand";
    of_price: "{percent} of the purchase price", "{percent} des Kaufpreises";
    profit_means: "after VAT, fees, freight and currency", "nach Umsatzsteuer, Gebühren, Fracht und Währung";
    of_capital: "of {amount} tied up", "von {amount} gebundenem Kapital";
    break_even: "Break-even", "Gewinnschwelle";
    break_even_means: "the least sale price without a loss", "kleinster Verkaufspreis ohne Verlust";
    buffer: "Buffer", "Puffer";
    buffer_means: "how far the sale price may fall", "so weit darf der Verkaufspreis fallen";
    max_purchase: "Pay at most", "Höchstens zahlen";
    max_purchase_means: "the greatest purchase price without a loss", "größter Kaufpreis ohne Verlust";
    open_since: "open since {time}", "offen seit {time}";
    closed_because: "closed: {reason}", "geschlossen: {reason}";
    open: "open", "offen";
    standing: "State", "Stand";
    closed_gap: "the gap is gone", "der Abstand ist weg";
    closed_price_gone: "a price is gone", "ein Preis ist weg";
    closed_stale: "a price is too old", "ein Preis ist zu alt";
    closed_rate: "no usable exchange rate", "kein brauchbarer Wechselkurs";
    closed_config: "another configuration", "andere Einstellungen";
    observed: "Seen", "Gesehen";
    open_at_amazon: "open at Amazon", "bei Amazon öffnen";
    ledger: "From the gap to the profit", "Vom Abstand zum Gewinn";
    ledger_means: "A gap of {margin}, and {profit} of it left. {regime}", "Ein Abstand von {margin}, und davon bleiben {profit}. {regime}";
    no_ledger: "A cost of this route is not known, so there is no profit to show. The seller profile and the tables of fees say what is missing.",
        "Eine Kostenart dieser Route ist nicht bekannt, also gibt es keinen Gewinn zu zeigen. Was fehlt, sagen Verkäuferprofil und Gebührentabellen.";
    ledger_caption: "Every line between the prices and the profit, in the order in which it is computed",
        "Jede Zeile zwischen den Preisen und dem Gewinn, in der Reihenfolge der Rechnung";
    line: "Line", "Zeile";
    amount: "Amount", "Betrag";
    rate: "Rate", "Satz";
    line_origin: "Source", "Quelle";
    as_of: "As of", "Stand vom";
    per_euro: "{rate} per €", "{rate} je €";
    assumed: "assumed", "angenommen";
    assumed_means: "A default stands in for what is not known of this article or of you",
        "Ein Vorgabewert steht für etwas, das von diesem Artikel oder von Ihnen nicht bekannt ist";
    not_advice: "Every line is rounded to the cent before the next is computed from it. Arithmetic under the chosen regime, with fees as of their dates: not tax advice.",
        "Jede Zeile wird auf den Cent gerundet, ehe die nächste aus ihr folgt. Arithmetik unter dem gewählten Fall, mit Gebühren nach ihrem Stand: keine Steuerberatung.";
    line_source_price: "Price where you buy", "Preis beim Kauf";
    line_input_vat: "Input VAT", "Vorsteuer";
    line_purchase_cost: "Purchase", "Einkauf";
    line_purchase_cost_eur: "Purchase in EUR", "Einkauf in EUR";
    line_target_price: "Price where you sell", "Preis beim Verkauf";
    line_output_vat: "VAT on the sale", "Umsatzsteuer auf den Verkauf";
    line_sale_net: "Net sale", "Nettoerlös";
    line_referral_fee: "Amazon's referral fee", "Verkaufsgebühr von Amazon";
    line_closing_fee: "Closing fee", "Abschlussgebühr";
    line_fba_fee: "Fulfilment", "Versand durch Amazon";
    line_dsf: "Digital services fee", "Gebühr für digitale Dienste";
    line_fee_vat: "VAT on the fees", "Umsatzsteuer auf die Gebühren";
    line_proceeds: "Proceeds", "Auszahlung";
    line_proceeds_eur: "Proceeds in EUR", "Auszahlung in EUR";
    line_fx_spread: "Spread of the conversion", "Aufschlag beim Umtausch";
    line_freight: "Freight", "Fracht";
    line_prep: "Preparation", "Vorbereitung";
    line_storage: "Storage", "Lagerung";
    line_returns: "Returns", "Rücksendungen";
    line_duty: "Customs duty", "Zoll";
    line_broker: "Customs broker", "Zollabfertigung";
    line_other: "Other costs", "Sonstige Kosten";
    line_profit: "Profit", "Gewinn";
    line_warning: "Note", "Hinweis";
    origin_given: "given", "angegeben";
    origin_observed: "seen at Amazon", "bei Amazon gesehen";
    origin_profile: "your seller profile", "Ihr Verkäuferprofil";
    origin_keepa: "Keepa, for this article", "Keepa, für diesen Artikel";
    origin_vat_table: "table of VAT rates", "Tabelle der Steuersätze";
    origin_fee_table: "table of Amazon's fees", "Gebührentabelle von Amazon";
    origin_ecb: "European Central Bank", "Europäische Zentralbank";
    origin_shipped_rates: "shipped set for simulated data", "mitgelieferter Satz für simulierte Daten";
    origin_shipped: "shipped set for simulated data", "mitgelieferter Satz für simulierte Daten";
    origin_default: "default", "Vorgabe";
    origin_computed: "computed", "berechnet";
    regime_rc: "Regime RC: bought net from a member state under reverse charge.", "Fall RC: netto aus einem Mitgliedstaat gekauft, Umkehr der Steuerschuld.";
    regime_dom: "Regime DOM: bought with a domestic invoice, input VAT deducted.", "Fall DOM: mit inländischer Rechnung gekauft, Vorsteuer abgezogen.";
    regime_lost: "Regime LOST: no invoice that shows VAT, so what was paid of it is lost.", "Fall LOST: keine Rechnung mit Steuerausweis, die gezahlte Steuer ist verloren.";
    regime_small: "Regime SMALL: small business, no VAT on the sale, VAT on Amazon's fees is a cost.", "Fall SMALL: Kleinunternehmer, keine Umsatzsteuer auf den Verkauf, die auf Amazons Gebühren ist Kosten.";
    regime_margin: "Regime MARGIN: margin scheme, VAT on the difference only.", "Fall MARGIN: Differenzbesteuerung, Steuer nur auf den Unterschied.";
    regime_import: "Regime IMPORT: over a customs border; duty and broker are costs.", "Fall IMPORT: über eine Zollgrenze; Zoll und Abfertigung sind Kosten.";
    regime_assumed: "The regime is assumed: no seller profile says another.", "Der Fall ist angenommen: kein Verkäuferprofil sagt anderes.";
    note_invoiced_without_vat_reverse: "invoiced without VAT: reverse charge", "ohne Steuer berechnet: Umkehr der Steuerschuld";
    note_deducted_as_input_vat: "deducted as input VAT", "als Vorsteuer abgezogen";
    note_sold_without_vat_it: "sold without VAT: it leaves the country", "ohne Steuer verkauft: es verlässt das Land";
    note_paid_and_not_deducted: "paid and not deducted", "gezahlt und nicht abgezogen";
    note_not_deductible: "not deductible", "nicht abziehbar";
    note_a_small_business_charges: "a small business charges none", "ein Kleinunternehmer berechnet keine";
    note_of_the_difference_of: "of the difference of the two prices", "auf den Unterschied der beiden Preise";
    note_the_minimum: "the minimum", "das Mindeste";
    note_reverse_charge_between_businesses: "reverse charge between businesses is for purchases inside the European Union",
        "die Umkehr der Steuerschuld gilt für Käufe zwischen Unternehmen innerhalb der Europäischen Union";
    note_no_customs_border_lies: "no customs border lies between two member states", "zwischen zwei Mitgliedstaaten liegt keine Zollgrenze";
    note_this_route_crosses_a: "this route crosses a customs border: duty and broker are costs, and stock does not move across it within Amazon's network",
        "diese Route führt über eine Zollgrenze: Zoll und Abfertigung sind Kosten, und Ware geht in Amazons Netz nicht über sie";
    trust: "How far to trust it", "Wie weit ihr zu trauen ist";
    no_traps: "No trap was found.", "Keine Falle gefunden.";
    takes: "takes {weight}", "nimmt {weight}";
    unchecked: "Not checked, for lack of data: {reasons}. Each takes a tenth of its weight.",
        "Mangels Daten nicht geprüft: {reasons}. Jedes nimmt ein Zehntel seines Gewichts.";
    all_checked: "All other checks were made and passed.", "Alle anderen Prüfungen wurden gemacht und bestanden.";
    trap_ean_mismatch: "other article?", "anderer Artikel?";
    trap_pack_size_mismatch: "other pack size", "andere Packung";
    trap_variation_parent: "variation parent", "Variantengruppe";
    trap_price_outlier: "price outlier", "Preisausreißer";
    trap_amazon_back: "Amazon is back", "Amazon ist zurück";
    trap_box_held_by_one: "one seller holds the box", "ein Verkäufer hält die Box";
    trap_often_out_of_stock: "often out of stock", "oft nicht lieferbar";
    trap_order_quantity: "order quantity", "Bestellmenge";
    trap_hazardous: "hazardous", "Gefahrgut";
    trap_heat_sensitive: "melts", "hitzeempfindlich";
    trap_map_price: "hidden price", "verborgener Preis";
    trap_stale_leg: "old price", "alter Preis";
    trap_offer_flood: "flood of offers", "Angebotsflut";
    trap_means_ean_mismatch: "The two marketplaces tell different product codes (EAN, UPC, GTIN): perhaps these are two articles.",
        "Die beiden Marktplätze nennen verschiedene Nummern (EAN, UPC, GTIN): vielleicht sind es zwei Artikel.";
    trap_means_pack_size_mismatch: "The two marketplaces tell different numbers of items or packs.",
        "Die beiden Marktplätze nennen verschiedene Stück- oder Packungszahlen.";
    trap_means_variation_parent: "Some marketplace tells a parent of variations, which cannot be bought: the two may sell different variations.",
        "Ein Marktplatz nennt eine Variantengruppe, die man nicht kaufen kann: die beiden verkaufen vielleicht verschiedene Varianten.";
    trap_means_price_outlier: "The price lies outside what it was for 98 % of the last 90 days: perhaps an error that will not last.",
        "Der Preis liegt außerhalb dessen, was er 98 % der letzten 90 Tage war: vielleicht ein Fehler, der nicht hält.";
    trap_means_amazon_back: "Amazon offers it again where it is sold, after it was away: the price there often falls.",
        "Amazon bietet es am Verkaufsort wieder an, nachdem es weg war: der Preis fällt dort dann oft.";
    trap_means_box_held_by_one: "One seller holds the buy box for 90 % of the time or more: your share of it may be small.",
        "Ein Verkäufer hält die Buy Box 90 % der Zeit oder mehr: Ihr Anteil kann klein sein.";
    trap_means_often_out_of_stock: "A price was missing for more than 30 % of the last 90 days.",
        "Ein Preis fehlte mehr als 30 % der letzten 90 Tage.";
    trap_means_order_quantity: "It is sold from two units on, or only up to five, to an order.",
        "Es wird erst ab zwei Stück oder nur bis zu fünf je Bestellung verkauft.";
    trap_means_hazardous: "Amazon lists a hazard: storage and transport may be restricted.",
        "Amazon führt es als Gefahrgut: Lagerung und Transport können beschränkt sein.";
    trap_means_heat_sensitive: "It melts: Amazon does not store it all year.", "Es ist hitzeempfindlich: Amazon lagert es nicht das ganze Jahr.";
    trap_means_map_price: "A price is hidden by the maker's price policy: it may be another at the checkout.",
        "Ein Preis ist durch eine Vorgabe des Herstellers verborgen: an der Kasse kann er ein anderer sein.";
    trap_means_stale_leg: "A price was seen long ago: it may be another by now.", "Ein Preis wurde vor langer Zeit gesehen: er kann inzwischen ein anderer sein.";
    trap_means_offer_flood: "New offers where it is sold have at least doubled against their mean of 30 days: prices tend to fall.",
        "Die neuen Angebote am Verkaufsort haben sich gegen ihr Mittel von 30 Tagen mindestens verdoppelt: Preise fallen dann gern.";
    evidence_price_outlier: "It is {price} now; for 98 % of the time it was from {low} to {high}.",
        "Er ist jetzt {price}; 98 % der Zeit lag er von {low} bis {high}.";
    evidence_box_held_by_one: "{seller} held {share} of the time.", "{seller} hielt sie {share} der Zeit.";
    evidence_often_out_of_stock: "It was {share} of them.", "Es waren {share} davon.";
    evidence_offer_flood: "There are {count} now.", "Es sind jetzt {count}.";
    evidence_stale_leg: "It was seen at {time}.", "Er wurde gesehen: {time}.";
    score: "Score", "Bewertung";
    score_means: "The four factors as shares of one, multiplied. The weights are ours: there is no standard for them.",
        "Die vier Faktoren als Anteile von eins, miteinander malgenommen. Die Gewichte sind unsere: dafür gibt es keine Norm.";
    of_100: "of 100", "von 100";
    no_score: "There is no score without a profit.", "Ohne Gewinn gibt es keine Bewertung.";
    not_known_50: "unknown: 50", "unbekannt: 50";
    score_market: "Market where it is sold", "Markt am Verkaufsort";
    score_market_means: "0.35 demand + 0.20 openness + 0.15 room + 0.15 stability + 0.15 availability",
        "0,35 Nachfrage + 0,20 Offenheit + 0,15 Platz + 0,15 Beständigkeit + 0,15 Verfügbarkeit";
    score_demand: "Demand", "Nachfrage";
    score_means_demand: "units sold a month, or falls of the rank", "verkaufte Stück im Monat oder Fälle des Rangs";
    score_openness: "Openness", "Offenheit";
    score_means_openness: "100 less the greatest share of the buy box", "100 weniger dem größten Anteil an der Buy Box";
    score_room: "Room", "Platz";
    score_means_room: "few offers leave much", "wenige Angebote lassen viel";
    score_stability: "Stability", "Beständigkeit";
    score_means_stability: "how little the price moved in 90 days", "wie wenig sich der Preis in 90 Tagen bewegte";
    score_availability: "Availability", "Verfügbarkeit";
    score_means_availability: "share of 90 days with an offer", "Anteil von 90 Tagen mit einem Angebot";
    score_safety: "Safety", "Sicherheit";
    score_safety_means: "the buffer, 20 % or more counting as 100", "der Puffer, ab 20 % als 100 gezählt";
    score_cheapness: "Cheapness", "Günstigkeit";
    score_cheapness_means: "where the purchase price lies in its range of 90 days", "wo der Kaufpreis in seiner Spanne von 90 Tagen liegt";
    score_confidence_means: "what the traps leave", "was die Fallen übrig lassen";
    other_routes: "Other routes of this article", "Andere Routen dieses Artikels";
    no_other_routes: "No other route of this article has an open gap.", "Keine andere Route dieses Artikels hat einen offenen Abstand.";
    one_ready: "As of the last evaluation. It follows changes by itself.", "Nach der letzten Auswertung. Änderungen erscheinen von selbst.";
    one_closed: "This gap is closed: these are the numbers it last had.", "Diese Chance ist geschlossen: dies sind ihre letzten Zahlen.";

    // A product.
    markets: "Marketplaces", "Marktplätze";
    markets_caption: "What every marketplace says of this article", "Was jeder Marktplatz zu diesem Artikel sagt";
    market: "Marketplace", "Marktplatz";
    price: "Price", "Preis";
    no_price: "no price", "kein Preis";
    kind_buy_box: "buy box", "Buy Box";
    kind_new: "lowest new", "günstigster neuer";
    kind_amazon: "Amazon", "von Amazon";
    availability: "Amazon offers it", "Amazon bietet an";
    amazon_in: "yes", "ja";
    amazon_out: "no", "nein";
    rank: "Rank", "Rang";
    sold_a_month: "{count}+ sold a month", "{count}+ verkauft im Monat";
    offers: "New offers", "Neue Angebote";
    of_them_fba: "{count} by FBA", "{count} über FBA";
    box_holder: "Buy box held by", "Buy Box hält";
    means: "Mean 30 and 90 days", "Mittel 30 und 90 Tage";
    range90: "Usual range", "Übliche Spanne";
    out_of_stock: "Without offer, 90 days", "Ohne Angebot, 90 Tage";
    trend: "Trend a month", "Trend im Monat";
    market_score: "Market score", "Marktnote";
    chart: "Prices over time", "Preise im Lauf der Zeit";
    range: "Range of the chart", "Zeitraum des Diagramms";
    days_7: "7 days", "7 Tage";
    days_30: "30 days", "30 Tage";
    days_90: "90 days", "90 Tage";
    all_days: "All", "Alles";
    from: "from", "von";
    to: "to", "bis";
    chart_means: "Landed prices in EUR at today's rates, marketplaces {markets}. A line that stops means no offer. Drag to zoom, double-click to see all.",
        "Preise mit Versand in EUR zu heutigen Kursen, Marktplätze {markets}. Wo eine Linie endet, gab es kein Angebot. Ziehen vergrößert, Doppelklick zeigt alles.";
    no_history: "No price history is held of this article yet: it comes with the first look at it, and every 30 days.",
        "Von diesem Artikel liegt noch kein Preisverlauf vor: er kommt mit dem ersten Abruf und alle 30 Tage.";
    no_chart: "The chart could not be loaded. The prices stand in the table above.", "Das Diagramm konnte nicht geladen werden. Die Preise stehen in der Tabelle oben.";
    article_routes: "Routes of this article", "Routen dieses Artikels";
    article_routes_caption: "Every route on which a gap was ever found", "Jede Route, auf der je ein Abstand gefunden wurde";
    no_routes: "No gap was found between the marketplaces of this article.", "Zwischen den Marktplätzen dieses Artikels wurde kein Abstand gefunden.";
    product_ready: "Prices: {prices}. Open gaps: {routes}.", "Preise: {prices}. Offene Chancen: {routes}.";

    // The matrix.
    routes_means: "Bought in the row, sold in the column. A click shows the gaps of a route.", "Gekauft in der Zeile, verkauft in der Spalte. Ein Klick zeigt die Chancen einer Route.";
    matrix_caption: "Number of open gaps, best and mean margin", "Zahl der offenen Chancen, beste und mittlere Marge";
    matrix_corner: "Buy ↓  Sell →", "Kauf ↓  Verkauf →";
    no_gaps: "none", "keine";
    best_of: "best {percent}", "beste {percent}";
    mean_of: "mean {percent}", "Mittel {percent}";
    same_market: "the same marketplace", "derselbe Marktplatz";
    route_label: "Buy at {source}, sell at {target}: {count} gaps", "Kaufen bei {source}, verkaufen bei {target}: {count} Chancen";
    routes_ready: "{count} gaps on {used} of {routes} routes.", "{count} Chancen auf {used} von {routes} Routen.";

    // The system.
    components: "Components", "Teile";
    component_event_log: "Event log", "Ereignisprotokoll";
    component_catalog: "Catalog", "Katalog";
    component_keepa: "Keepa", "Keepa";
    component_producer: "Producer", "Abruf";
    component_enricher: "Enricher", "Aufbereitung";
    component_detector: "Detector", "Erkennung";
    component_alerts: "Alerts", "Benachrichtigung";
    component_exchange_rates: "Exchange rates", "Wechselkurse";
    component_scheduler: "Scheduler", "Zeitplan";
    condition_up: "up", "läuft";
    condition_degraded: "degraded", "eingeschränkt";
    condition_down: "down", "steht";
    system_up: "Everything works.", "Alles läuft.";
    system_degraded: "Some things do not work as they should: see below.", "Manches läuft nicht, wie es soll: siehe unten.";
    system_down: "The event log or the catalog is away: nothing new comes in.", "Ereignisprotokoll oder Katalog sind nicht erreichbar: nichts Neues kommt an.";
    feed: "Feed", "Datenstrom";
    figure_lag: "Consumer lag", "Rückstand";
    lag_unknown: "not known", "nicht bekannt";
    figure_dlq: "Dead letters", "Zurückgewiesen";
    dlq_of: "of {total} records", "von {total} Datensätzen";
    figure_tokens: "Tokens left", "Token übrig";
    figure_tokens_means: "at Keepa", "bei Keepa";
    figure_refill: "Refill", "Nachschub";
    figure_refill_means: "tokens", "Token";
    per_minute: "{count} a minute", "{count} je Minute";
    figure_oldest: "Oldest price in use", "Ältester Preis in Gebrauch";
    figure_oldest_means: "that an open gap rests on", "auf dem eine offene Chance ruht";
    figure_data: "Data", "Daten";
    data_simulated: "simulated", "simuliert";
    data_real: "from Keepa", "von Keepa";
    data_real_means: "as Keepa last saw it", "wie Keepa es zuletzt sah";
    runs: "Last runs of each job", "Letzte Läufe jeder Aufgabe";
    runs_caption: "Runs, newest first for each job", "Läufe, je Aufgabe die neuesten zuerst";
    run_job: "Job", "Aufgabe";
    run_status: "Status", "Zustand";
    run_started: "Started", "Begonnen";
    run_took: "Took", "Dauer";
    run_attempts: "Attempts", "Versuche";
    run_products: "Products", "Artikel";
    run_tokens: "Tokens", "Token";
    run_error: "Note", "Bemerkung";
    run_queued: "queued", "wartet";
    run_running: "running", "im Gang";
    run_succeeded: "succeeded", "gelungen";
    run_failed: "failed", "gescheitert";
    no_runs: "No job has run yet.", "Noch keine Aufgabe ist gelaufen.";
    rates: "Exchange rates", "Wechselkurse";
    rates_of: "{origin}, of {date}.", "{origin}, vom {date}.";
    rates_stale: "These are old.", "Diese sind alt.";
    rates_caption: "Units of each currency per euro", "Einheiten jeder Währung je Euro";
    no_rates: "There are no exchange rates yet: gaps between currencies are not found.", "Es gibt noch keine Wechselkurse: Abstände zwischen Währungen werden nicht gefunden.";
    currency: "Currency", "Währung";
    units_per_euro: "per euro", "je Euro";
    freshness: "Marketplaces", "Marktplätze";
    freshness_caption: "How many products have a price in each marketplace, and when one was last fetched",
        "Wie viele Artikel in jedem Marktplatz einen Preis haben und wann zuletzt einer abgerufen wurde";
    market_products: "Products", "Artikel";
    market_updated: "Last fetched", "Letzter Abruf vor";
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use shared::domain::TrapReason;
    use shared::domain::profit::Regime;

    use super::super::files::SCRIPTS;
    use super::*;

    /// The same in both languages, and rightly so.
    const SAME: [&str; 3] = ["column_asin", "column_route", "component_keepa"];
    const TEMPLATES: &[&str] = &[
        include_str!("templates/frame.html"),
        include_str!("templates/opportunities.html"),
        include_str!("templates/opportunity.html"),
        include_str!("templates/product.html"),
        include_str!("templates/routes.html"),
        include_str!("templates/system.html"),
        include_str!("templates/missing.html"),
        include_str!("opportunities.rs"),
        include_str!("frame.rs"),
    ];
    /// Texts that scripts name by these and a code of the API.
    const PREFIXES: [&str; 14] = [
        "change",
        "closed",
        "component",
        "condition",
        "evidence",
        "kind",
        "line",
        "note",
        "origin",
        "regime",
        "run",
        "score",
        "system",
        "trap",
    ];

    fn named_by(texts: impl Iterator<Item = &'static str>) -> BTreeSet<String> {
        let after = |text: &'static str, mark: &'static str| {
            let name = |rest: &str| {
                rest.chars()
                    .take_while(|character| character.is_ascii_lowercase() || *character == '_' || character.is_ascii_digit())
                    .collect()
            };
            text.split(mark).skip(1).map(name).collect::<Vec<String>>()
        };
        texts
            .flat_map(|text| ["words.", " w."].into_iter().flat_map(move |mark| after(text, mark)))
            .collect()
    }

    fn values(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
    }

    #[test]
    fn no_text_is_empty_or_the_same_in_both_languages_by_accident() {
        for ((name, english), (_, german)) in EN.all().zip(DE.all()) {
            assert!(!english.trim().is_empty() && !german.trim().is_empty(), "{name}");
            assert_eq!(english == german, SAME.contains(&name), "{name}: {english}");
            assert_eq!(values(english), values(german), "{name}");
        }
    }

    #[test]
    fn every_text_that_is_named_is_there_and_every_text_is_named() {
        let known: BTreeMap<&str, &str> = EN.all().collect();
        let scripts = SCRIPTS.iter().filter(|(name, _)| *name != "words.js").map(|(_, text)| *text);
        let named = named_by(scripts.chain(TEMPLATES.iter().copied()));
        for name in named.iter().filter(|name| !["js", "all", "of", ""].contains(&name.as_str())) {
            assert!(known.contains_key(name.as_str()), "{name} is named and not there");
        }
        let is_built = |name: &str| {
            PREFIXES
                .iter()
                .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('_')))
        };
        let unnamed: Vec<&&str> = known
            .keys()
            .filter(|name| **name != "name" && !named.contains(**name) && !is_built(name))
            .collect();
        assert!(unnamed.is_empty(), "nobody names {unnamed:?}");
    }

    #[test]
    fn every_code_of_the_api_has_its_words() {
        let known: BTreeMap<&str, &str> = EN.all().collect();
        let traps = TrapReason::ALL.map(TrapReason::name).into_iter();
        let names = traps.flat_map(|reason| [format!("trap_{reason}"), format!("trap_means_{reason}")]);
        let regimes = Regime::ALL.map(|regime| format!("regime_{}", regime.code().to_lowercase()));
        let codes = [
            ("closed", &["gap", "price_gone", "stale", "rate", "config"][..]),
            ("condition", &["up", "degraded", "down"]),
            (
                "component",
                &["event_log", "catalog", "keepa", "enricher", "detector", "alerts", "exchange_rates", "scheduler"],
            ),
            ("run", &["queued", "running", "succeeded", "failed"]),
            ("kind", &["buy_box", "new", "amazon"]),
            (
                "origin",
                &[
                    "given",
                    "observed",
                    "profile",
                    "keepa",
                    "vat_table",
                    "fee_table",
                    "ecb",
                    "shipped_rates",
                    "default",
                    "computed",
                    "shipped",
                ],
            ),
            (
                "line",
                &[
                    "source_price",
                    "input_vat",
                    "purchase_cost",
                    "purchase_cost_eur",
                    "target_price",
                    "output_vat",
                    "sale_net",
                    "referral_fee",
                    "closing_fee",
                    "fba_fee",
                    "dsf",
                    "fee_vat",
                    "proceeds",
                    "proceeds_eur",
                    "fx_spread",
                    "freight",
                    "prep",
                    "storage",
                    "returns",
                    "duty",
                    "broker",
                    "other",
                    "profit",
                    "warning",
                ],
            ),
        ];
        let codes = codes
            .into_iter()
            .flat_map(|(prefix, codes)| codes.iter().map(move |code| format!("{prefix}_{code}")));
        for name in names.chain(regimes).chain(codes) {
            assert!(known.contains_key(&*name), "{name}");
        }
    }
}
