//! What is sold: the made-up products, the same in every market but for language and price.

use std::collections::{HashMap, HashSet};

use shared::domain::Asin;

use super::noise::Noise;
use super::vocabulary::{AUTHORS, Aisle, BOOK_TITLES, BOOKS, BRANDS, COLOURS, DEPARTMENTS, Department, Kind, LINES, PLACES, PUBLISHERS};

/// The article whose prices stand still: DE 49.99, IT 54.99, ES 47.99 EUR, not sold in FR and UK.
pub const REFERENCE_ASIN: &str = "B0D1XD1ZV3";

/// 2023-01-01 and 2024-09-01 in Keepa minutes: between them Keepa "began to follow" the products.
const FIRST_TRACKED: (i64, i64) = (6_311_520, 7_188_480);

/// One article.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) asin: Asin,
    pub(super) noise: Noise,
    pub(super) place: Place,
    pub(super) brand: &'static str,
    pub(super) model: String,
    /// 13 digits with a right check digit; books: the ISBN.
    pub(super) ean: String,
    /// Usual price in euro cents.
    pub(super) price_level: i64,
    pub(super) weight: i64,
    /// Longest first, millimetres.
    pub(super) package: [i64; 3],
    pub(super) images: Vec<String>,
    /// Keepa minutes, even.
    pub(super) tracking_since: i32,
    /// Among all articles of its department, 0 = the most popular.
    pub(super) popularity: i64,
    pub(super) is_reference: bool,
}

/// Where an article stands in the category tree: indexes into [`DEPARTMENTS`] and below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) department: usize,
    pub(super) aisle: usize,
    pub(super) kind: usize,
}

impl Place {
    pub(super) fn department(self) -> &'static Department {
        &DEPARTMENTS[self.department]
    }

    pub(super) fn aisle(self) -> &'static Aisle {
        &self.department().aisles[self.aisle]
    }

    pub(super) fn kind(self) -> &'static Kind {
        &self.aisle().kinds[self.kind]
    }

    /// Every kind that there is.
    pub(super) fn all() -> Vec<Place> {
        let mut places = Vec::new();
        for (department, shelves) in DEPARTMENTS.iter().enumerate() {
            for (aisle, kinds) in shelves.aisles.iter().enumerate() {
                places.extend((0..kinds.kinds.len()).map(|kind| Place { department, aisle, kind }));
            }
        }
        places
    }
}

/// All articles of a world.
#[derive(Debug)]
pub(super) struct Assortment {
    pub(super) items: Vec<Item>,
    pub(super) asins: Vec<Asin>,
    by_asin: HashMap<Asin, usize>,
}

impl Assortment {
    /// `count` articles, the reference article first.
    pub(super) fn new(noise: Noise, count: usize) -> Self {
        let places = Place::all();
        let mut taken = HashSet::new();
        let mut items = Vec::with_capacity(count);
        for number in 0..count.max(1) {
            // A collision of made-up ASINs is solved by the next attempt; it depends on the seed only.
            let item = (0_u64..)
                .map(|attempt| Item::new(noise.at(number as u64).at(attempt), number, &places))
                .find(|item| taken.insert(item.asin))
                .expect("there are more ASINs than articles");
            items.push(item);
        }
        // A few articles are listed twice, under two ASINs with one product code, as on Amazon.
        for number in (40..items.len()).step_by(97) {
            items[number].ean = items[number - 1].ean.clone();
        }
        let asins: Vec<Asin> = items.iter().map(|item| item.asin).collect();
        let by_asin = asins.iter().enumerate().map(|(index, asin)| (*asin, index)).collect();
        Assortment { items, asins, by_asin }
    }

    pub(super) fn index_of(&self, asin: Asin) -> Option<usize> {
        self.by_asin.get(&asin).copied()
    }

    /// The articles with a product code (EAN, UPC or ISBN-13, with or without leading zeros).
    pub(super) fn indexes_of_code(&self, code: &str) -> Vec<usize> {
        let padded = format!("{code:0>13}");
        self.items
            .iter()
            .enumerate()
            .filter(|(_, item)| item.ean == padded)
            .map(|(index, _)| index)
            .collect()
    }
}

impl Item {
    fn new(noise: Noise, number: usize, places: &[Place]) -> Self {
        let is_reference = number == 0;
        // The reference article is a Bluetooth speaker; the others go round all kinds.
        let place = if is_reference {
            Place {
                department: 0,
                aisle: 0,
                kind: 1,
            }
        } else {
            places[number % places.len()]
        };
        let kind = place.kind();
        let is_book = place.department == BOOKS;
        let between = |label: &str, (low, high): (u32, u32)| {
            // Squared: most articles are at the cheap and light end.
            let share = noise.named(label).unit().powi(2);
            f64::from(low) + share * f64::from(high - low)
        };
        let (asin, ean) = if is_reference {
            (REFERENCE_ASIN.parse().expect("a constant that is an ASIN"), with_check_digit("426071234500"))
        } else if is_book && noise.named("isbn").chance(0.7) {
            isbn(noise.named("isbn"))
        } else {
            (made_up_asin(noise.named("asin")), made_up_ean(noise.named("ean")))
        };
        let length = i64::from(kind.length) * noise.named("length").between(85, 115) / 100;
        let tracking_since = noise.named("tracking").between(FIRST_TRACKED.0, FIRST_TRACKED.1);
        Item {
            asin,
            noise,
            place,
            brand: noise.named("brand").pick(if is_book { PUBLISHERS } else { BRANDS }),
            model: format!("{} {}", noise.named("line").pick(LINES), noise.named("number").between(1, 99) * 10),
            ean,
            price_level: if is_reference { 4_999 } else { (between("price", kind.price) * 100.0) as i64 },
            weight: between("weight", kind.weight) as i64,
            package: [
                length,
                length * noise.named("width").between(40, 90) / 100,
                length * noise.named("height").between(12, 40) / 100,
            ],
            images: (0..noise.named("images").between(1, 5))
                .map(|index| made_up_image(noise.named("image").at(index as u64)))
                .collect(),
            tracking_since: i32::try_from(tracking_since / 2 * 2).expect("within the constant bounds"),
            popularity: i64::try_from(number / places.len()).expect("a count of articles") * 8 + noise.named("popularity").between(0, 7),
            is_reference,
        }
    }

    pub(super) fn is_book(&self) -> bool {
        self.place.department == BOOKS
    }

    /// The code of another article, which a market may tell by mistake.
    pub(super) fn other_ean(&self, market: usize) -> String {
        made_up_ean(self.noise.named("other ean").at(market as u64))
    }

    pub(super) fn author(&self) -> Option<&'static str> {
        self.is_book().then(|| self.noise.named("author").pick(AUTHORS))
    }

    pub(super) fn colour(&self, language: usize) -> Option<&'static str> {
        (!self.is_book()).then(|| self.noise.named("colour").pick(COLOURS)[language])
    }

    /// As Keepa delivers it: `&` as an entity; now and then far longer than 200 characters.
    pub(super) fn title(&self, language: usize) -> String {
        if self.is_book() {
            let title = self.noise.named("title").pick(BOOK_TITLES)[language];
            let place = self.noise.named("place").pick(PLACES);
            return format!("{title} {place}: {}", self.place.kind().noun[language]);
        }
        let brand = self.brand.replace('&', "&amp;");
        let noun = self.place.kind().noun[language];
        let features = self.place.department().features;
        let first = usize::try_from(self.noise.named("feature").below(features.len() as u64)).expect("an index");
        let verbose = self.noise.named("verbose").chance(0.03);
        let shown = if verbose { features.len() * 2 } else { 2 };
        let list: Vec<&str> = (0..shown).map(|offset| features[(first + offset) % features.len()][language]).collect();
        let colour = self.colour(language).unwrap_or_default();
        let mut title = format!("{brand} {} {noun}, {} ({colour})", self.model, list.join(", "));
        if verbose {
            let tail = [
                "ideal als Geschenk für Familie, Freunde und Kollegen, mit ausführlicher Anleitung und Ersatzteilen",
                "idée cadeau pour la famille, les amis et les collègues, avec notice détaillée et pièces de rechange",
                "idea regalo per famiglia, amici e colleghi, con istruzioni dettagliate e pezzi di ricambio inclusi",
                "idea de regalo para familia, amigos y compañeros, con instrucciones detalladas y piezas de recambio",
                "ideal gift for family, friends and colleagues, with detailed instructions and spare parts included",
            ][language];
            title = format!("{title} &ndash; {tail}");
        }
        title
    }
}

/// `B0` and eight letters or digits, the second a letter, as in the ASINs of the last years.
fn made_up_asin(noise: Noise) -> Asin {
    const CHARACTERS: &[u8] = b"0123456789BCDFGHJKLMNPQRSTVWXYZ";
    let mut text = String::from("B0");
    text.push(char::from(noise.at(0).pick(b"BCD")));
    text.extend((1..8).map(|position| char::from(noise.at(position).pick(CHARACTERS))));
    text.parse().expect("ten letters and digits")
}

/// An ISBN-10 as ASIN (some with leading zeros or an X at the end) and the ISBN-13 of the same book.
fn isbn(noise: Noise) -> (Asin, String) {
    let group = noise.at(1).pick(&["0", "3", "2", "84", "88"]);
    let mut digits = group.to_owned();
    while digits.len() < 9 {
        digits.push(digit(noise.at(10 + digits.len() as u64)));
    }
    let sum: u32 = digits.bytes().zip((2..=10).rev()).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    let check = match (11 - sum % 11) % 11 {
        10 => 'X',
        check => char::from_digit(check, 10).expect("below ten"),
    };
    let asin = format!("{digits}{check}").parse().expect("nine digits and a check character");
    (asin, with_check_digit(&format!("978{digits}")))
}

fn made_up_ean(noise: Noise) -> String {
    // Prefixes of Germany, France, Italy, Spain, the United Kingdom; and a UPC, which begins with 0.
    let mut digits = noise.at(0).pick(&["40", "42", "35", "80", "84", "50", "06"]).to_owned();
    while digits.len() < 12 {
        digits.push(digit(noise.at(digits.len() as u64)));
    }
    with_check_digit(&digits)
}

fn digit(noise: Noise) -> char {
    char::from(b"0123456789"[usize::try_from(noise.below(10)).expect("below ten")])
}

/// Twelve digits and the EAN-13 check digit.
fn with_check_digit(digits: &str) -> String {
    let sum: u32 = digits
        .bytes()
        .enumerate()
        .map(|(place, digit)| u32::from(digit - b'0') * if place % 2 == 0 { 1 } else { 3 })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

fn made_up_image(noise: Noise) -> String {
    const CHARACTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut name = noise.at(0).pick(&["41", "51", "61", "71", "81"]).to_owned();
    name.extend((1..9).map(|position| char::from(noise.at(position).pick(CHARACTERS))));
    name + "L.jpg"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assortment() -> Assortment {
        Assortment::new(Noise::new(1), 300)
    }

    #[test]
    fn the_reference_article_comes_first_and_asins_are_unique() {
        let assortment = assortment();
        assert_eq!(assortment.asins[0].as_str(), REFERENCE_ASIN);
        assert_eq!(assortment.items.len(), 300);
        assert_eq!(assortment.asins.iter().collect::<HashSet<_>>().len(), 300);
        for (index, asin) in assortment.asins.iter().enumerate() {
            assert_eq!(assortment.index_of(*asin), Some(index));
        }
    }

    #[test]
    fn product_codes_have_a_right_check_digit_and_are_found_without_leading_zeros() {
        let assortment = assortment();
        for item in &assortment.items {
            assert_eq!(item.ean.len(), 13);
            assert_eq!(with_check_digit(&item.ean[..12]), item.ean);
            let shortened = item.ean.trim_start_matches('0');
            assert!(
                assortment
                    .indexes_of_code(shortened)
                    .iter()
                    .any(|index| assortment.items[*index].asin == item.asin)
            );
        }
        assert_eq!(with_check_digit("978014103614"), "9780141036144");
    }

    #[test]
    fn some_books_are_numbered_by_isbn_with_leading_zeros() {
        let numeric: Vec<String> = assortment()
            .asins
            .iter()
            .map(Asin::to_string)
            .filter(|asin| asin[..9].bytes().all(|byte| byte.is_ascii_digit()))
            .collect();
        assert!(numeric.len() >= 5, "{numeric:?}");
        assert!(numeric.iter().any(|asin| asin.starts_with('0')), "{numeric:?}");
    }

    #[test]
    fn titles_are_in_the_language_of_the_market_some_with_entities_some_very_long() {
        let assortment = assortment();
        let titles: Vec<String> = assortment.items.iter().map(|item| item.title(0)).collect();
        assert!(titles.iter().any(|title| title.contains("&amp;")));
        assert!(titles.iter().any(|title| title.chars().count() > 200));
        let different = assortment.items.iter().filter(|item| item.title(0) != item.title(4)).count();
        assert!(different > 250, "{different}");
    }
}
