//! Words for text search: split and folded here, so that both catalogs find the same.

use unicode_normalization::UnicodeNormalization as _;

use crate::domain::StoredProduct;
use crate::wire::OpportunityDocument;

/// Longer words are cut, when indexed and when looked for: no name has one.
const MAX_WORD_CHARACTERS: usize = 100;

/// More words than this are not looked for: no person types them, and each costs a lookup.
const MAX_QUERY_WORDS: usize = 64;

/// The words of a text: runs of letters and digits, in lower case, without accents (`Kopfhörer` -> `kopfhorer`).
fn each_word(text: &str, mut take: impl FnMut(&str)) {
    let lower_case = if text.is_ascii() {
        // Most names: nothing to fold.
        text.to_ascii_lowercase()
    } else {
        let folded: String = text.nfkd().filter(|character| !is_accent(*character)).nfkc().collect();
        folded.to_lowercase()
    };
    for word in lower_case.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let end = word.char_indices().nth(MAX_WORD_CHARACTERS).map_or(word.len(), |(end, _)| end);
        take(&word[..end]);
    }
}

/// The words to look for, each once, in the order typed.
pub(super) fn query_words(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    each_word(text, |word| {
        // The last one is looked for as a beginning, so a repetition moves to the end.
        found.retain(|known| *known != word);
        found.push(word.to_owned());
    });
    found.truncate(MAX_QUERY_WORDS);
    found
}

/// The words of some texts, separated by spaces.
fn indexed<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut words = String::new();
    for text in texts {
        each_word(text, |word| {
            if !words.is_empty() {
                words.push(' ');
            }
            words.push_str(word);
        });
    }
    words
}

/// What a product is found by.
pub(super) fn of_product(stored: &StoredProduct) -> String {
    let names = [&stored.listing.title, &stored.listing.brand, &stored.listing.category];
    indexed(names.into_iter().flatten().map(String::as_str).chain([stored.product.asin.as_str()]))
}

/// What an opportunity is found by: the same of its article.
pub(super) fn of_opportunity(document: &OpportunityDocument) -> String {
    let names = [&document.title, &document.brand, &document.category];
    indexed(names.into_iter().flatten().map(String::as_str).chain([document.asin.as_str()]))
}

fn is_accent(character: char) -> bool {
    ('\u{0300}'..='\u{036F}').contains(&character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_letters_and_digits_without_case_and_accents() {
        for (text, expected) in [
            ("Sony WH-1000XM5", "sony wh 1000xm5"),
            ("Kopfhörer für Zuhause", "kopfhorer fur zuhause"),
            ("İstanbul ÇAY", "istanbul cay"),
            ("\"quoted\" AND NEAR(a b) *", "quoted and near a b"),
            ("don't_stop", "don t stop"),
            ("東京 タワー", "東京 タワー"),
            ("が", "が"),
            ("🎧 \0 …", ""),
            ("ＡＢＣ１２", "abc12"),
            ("", ""),
        ] {
            assert_eq!(indexed([text]), expected, "{text:?}");
        }
    }

    #[test]
    fn a_repeated_query_word_is_looked_for_once_as_the_later_one() {
        assert_eq!(query_words("a b A"), ["b", "a"]);
        assert_eq!(query_words(&"x1 y2 ".repeat(1000)).len(), 2);
        let many: String = (0..1000).map(|number| format!("{number} ")).collect();
        assert_eq!(query_words(&many).len(), MAX_QUERY_WORDS);
    }

    proptest! {
        #[test]
        fn words_are_words_of_themselves(text: String) {
            let once = indexed([text.as_str()]);
            prop_assert_eq!(indexed([once.as_str()]), once.clone());
            prop_assert!(once.chars().all(|character| character == ' ' || character.is_alphanumeric()));
        }

        #[test]
        fn what_needs_no_folding_has_the_words_it_has_beside_what_does(text in "[ -~]{0,60}") {
            let together = indexed([format!("{text} é").as_str()]);
            let alone = format!("{} e", indexed([text.as_str()]));
            prop_assert_eq!(alone.trim_start(), together);
        }
    }
}
