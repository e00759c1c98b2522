//! Did you mean …? The known word that is closest to a mistyped one.

/// Longer words are not compared; nobody mistypes a word of this length by two letters.
const MAX_WORD_CHARS: usize = 80;
/// How many known words are looked at, at most.
const MAX_WORDS: usize = 2000;

/// The known word closest to `typed`, if one is close enough to be meant.
#[must_use]
pub fn closest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = typed.chars().count() / 3 + 1;
    if typed.chars().count() > MAX_WORD_CHARS {
        return None;
    }
    known
        .into_iter()
        .take(MAX_WORDS)
        .filter(|word| word.chars().count() <= MAX_WORD_CHARS && *word != typed)
        .map(|word| (distance(typed, word), word))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, word)| word)
}

/// `; did you mean "frontend"?`, or nothing.
#[must_use]
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(typed, known).map(|word| format!("; did you mean {word:?}?")).unwrap_or_default()
}

/// The Levenshtein distance, with letter case counting for nothing.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_word_is_meant_if_it_is_close() {
        let known = ["frontend", "backend", "cart"];
        assert_eq!(closest("fronted", known), Some("frontend"));
        assert_eq!(closest("Cart", known), Some("cart"));
        assert_eq!(closest("database", known), None);
        assert_eq!(did_you_mean("crat", known), "; did you mean \"cart\"?");
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, expected) in [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
