//! What is on the shelves: ordinary articles, and such as break pages.

use std::collections::BTreeMap;

use crate::independent::{Dice, MARKETS};

/// An article of the shop.
#[derive(Debug, Clone)]
pub struct Article {
    /// Ten characters.
    pub asin: String,
    /// Of its product code.
    pub number: usize,
    /// As Keepa has it: entities are not resolved yet.
    pub title: Option<String>,
    /// Likewise.
    pub brand: Option<String>,
    /// The name of its image.
    pub image: Option<String>,
    /// Its root category.
    pub category: String,
    /// Minor units by marketplace; `None`: listed, and nobody offers it. Where it is missing it is not listed.
    pub minor: BTreeMap<&'static str, Option<i64>>,
    /// What it used to cost.
    pub usual: BTreeMap<&'static str, i64>,
}

const BRANDS: [&str; 4] = ["Müller &amp; Co", "De&#39;Longhi", "Bosch", "Lego"];
const CATEGORIES: [&str; 3] = ["Küche, Haushalt &amp; Wohnen", "Spielzeug", "Baumarkt"];
const NOUNS: [&str; 5] = ["Kaffeemühle", "Bohrhammer", "Bausatz Leuchtturm", "Wasserkocher", "Stichsäge"];

impl Article {
    fn new(number: usize, title: Option<String>, minor: &[(&'static str, Option<i64>)]) -> Article {
        Article {
            asin: format!("B0SHOP{number:04}"),
            number,
            title,
            brand: Some(BRANDS[number % BRANDS.len()].to_owned()),
            image: Some(format!("71shop{number:04}L.jpg")),
            category: CATEGORIES[number % CATEGORIES.len()].to_owned(),
            minor: minor.iter().copied().collect(),
            usual: minor.iter().filter_map(|&(market, minor)| Some((market, minor?))).collect(),
        }
    }
}

/// So many ordinary articles, with some routes of more than ten percent each.
pub fn ordinary(count: usize) -> Vec<Article> {
    let article = |number: usize| {
        let mut dice = Dice(number as u64);
        let mut roll = |bound| i64::try_from(dice.roll(bound)).expect("small");
        let base = 1_500 + roll(9_000);
        let mut minor = MARKETS.map(|(market, _)| {
            let here = base * (100 + roll(30)) / 100;
            (market, Some(if market == "UK" { here * 86 / 100 } else { here }))
        });
        // From Spain to Italy there is always something to be had.
        for (market, price) in &mut minor {
            match *market {
                "ES" => *price = Some(base * 97 / 100),
                "IT" => *price = Some(base * 131 / 100 + roll(base.unsigned_abs() / 5)),
                _ => {}
            }
        }
        let title = format!("{} {} Serie {}", NOUNS[number % NOUNS.len()], 100 + number, number % 7);
        Article::new(number, Some(title), &minor)
    };
    (0..count).map(article).collect()
}

/// Titles, brands, prices and images that pages break on. Each is to be had in Spain and sold in Italy.
pub fn hostile() -> Vec<Article> {
    let gap = [("ES", Some(2_000)), ("IT", Some(2_900)), ("DE", Some(2_100))];
    let titles = [
        "<script>window.ran = true</script> Lampe",
        "&lt;img src=x onerror=&quot;window.ran = true&quot;&gt; Vase",
        "\"Doppelt\" 'einfach' &amp;amp; <b>fett</b> \\ ` ${7*7} {{7*7}} %3Cscript%3E",
        "🎧 Kopfhörer 👩‍👩‍👧‍👦 🇩🇪 🔥🔥🔥",
        "سماعات رأس لاسلكية مع ميكروفون שלום \u{202e}gpj.exe",
        "</td></tr></table><h1>weg</h1><!-- ",
        "javascript:window.ran=true",
    ];
    let unbroken = "Donaudampfschifffahrtsgesellschaft".repeat(9)[..300].to_owned();
    let titles = titles.into_iter().map(str::to_owned).chain([unbroken]).map(Some);
    let mut articles: Vec<Article> = titles.enumerate().map(|(index, title)| Article::new(9_000 + index, title, &gap)).collect();

    let nameless = Article {
        brand: None,
        image: None,
        ..Article::new(9_100, None, &gap)
    };
    let extremes = Article::new(
        9_101,
        Some("Ein Cent in Spanien".to_owned()),
        &[("ES", Some(1)), ("IT", Some(9_999_999)), ("UK", Some(9_999_999))],
    );
    let not_offered = [("DE", None), ("ES", Some(2_000)), ("IT", Some(2_900)), ("UK", None)];
    let without_prices = Article::new(9_102, Some("In zwei Ländern nicht zu haben".to_owned()), &not_offered);
    let nowhere = Article::new(9_103, Some("Nirgends zu haben".to_owned()), &[("DE", None), ("IT", None)]);
    let loud = Article {
        brand: Some("<i>MARKE</i>".repeat(12)),
        category: "&lt;script&gt;window.ran = true&lt;/script&gt;".to_owned(),
        ..Article::new(9_104, Some("Laute Marke".to_owned()), &gap)
    };
    articles.extend([nameless, extremes, without_prices, nowhere, loud]);
    articles
}
