//! Titles as people read them.

use compact_str::CompactString;

/// Markup that Amazon's titles are known to carry. Only these names count as tags: a title may well say `4 < 5`.
const TAGS: [&str; 14] = ["b", "br", "big", "em", "font", "i", "p", "small", "span", "strong", "sub", "sup", "u", "wbr"];

/// Strips markup, resolves entities once, and shortens nothing. `None` if nothing is left.
///
/// Entities come last: `&lt;b&gt;` is a title that shows `<b>`, not bold text.
pub(super) fn plain(title: &str) -> Option<CompactString> {
    if memchr::memchr2(b'<', b'&', title.as_bytes()).is_none() {
        // As most are.
        let trimmed = title.trim();
        return (!trimmed.is_empty()).then(|| trimmed.into());
    }
    let stripped = strip_tags(title);
    let resolved = html_escape::decode_html_entities(&stripped);
    let trimmed = resolved.trim();
    (!trimmed.is_empty()).then(|| trimmed.into())
}

fn strip_tags(title: &str) -> String {
    let mut plain = String::with_capacity(title.len());
    let mut rest = title;
    while let Some(start) = rest.find('<') {
        let (before, from_tag) = rest.split_at(start);
        plain.push_str(before);
        match tag_length(from_tag) {
            Some((name, length)) => {
                if matches!(name.as_str(), "br" | "p") {
                    plain.push(' ');
                }
                rest = &from_tag[length..];
            }
            None => {
                plain.push('<');
                rest = &from_tag[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// The name and length of the tag that the text begins with.
fn tag_length(text: &str) -> Option<(String, usize)> {
    let inner = text.strip_prefix('<')?;
    let inner = inner.strip_prefix('/').unwrap_or(inner);
    let name_length = inner.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(name_length);
    let name = name.to_ascii_lowercase();
    if !TAGS.contains(&name.as_str()) || !rest.starts_with(|character: char| character == '>' || character == '/' || character.is_ascii_whitespace()) {
        return None;
    }
    let end = text.find('>')?;
    // `<b and then a > much later` is no tag.
    (!text[1..end].contains('<')).then_some((name, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_plain_text_of_full_length() {
        let long = "Ä".repeat(3000);
        for (title, expected) in [
            ("Salt &amp; Pepper", Some("Salt & Pepper")),
            ("Caf&eacute; &#39;Noir&#39; &#x2122;", Some("Café 'Noir' ™")),
            ("<b>Bold</b> <BR/>new<br>line", Some("Bold  new line")),
            ("<span class=\"a>b\">odd", Some("b\">odd")),
            ("4 < 5 and 6 > 5", Some("4 < 5 and 6 > 5")),
            ("I <3 books", Some("I <3 books")),
            ("shown &lt;b&gt; as text", Some("shown <b> as text")),
            ("&amp;amp; once", Some("&amp; once")),
            ("&unknown; & alone", Some("&unknown; & alone")),
            ("ends with <b", Some("ends with <b")),
            ("日本語<i>の</i>題", Some("日本語の題")),
            ("  padded  ", Some("padded")),
            (" <b></b> ", None),
            ("", None),
            (long.as_str(), Some(long.as_str())),
        ] {
            assert_eq!(plain(title).as_deref(), expected, "{title:?}");
        }
    }
}
