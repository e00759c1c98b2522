//! What the YAML parser says of broken text, in words for the person who wrote it: what stands there, and what was
//! expected instead of it.

/// A part of the parser's message, and what it means.
const WORDS: [(&str, &str); 15] = [
    ("tabs disallowed", "a tab indents this line; expected spaces"),
    (
        "parsing a block mapping, did not find expected key",
        "no field can begin here; expected the indentation of the fields above",
    ),
    ("simple key expected ':'", "a field has no ':' after its name; expected NAME: VALUE"),
    (
        "mapping values are not allowed",
        "a ':' stands where no field can begin; expected the indentation of the fields above, or quotes around a text that holds ': '",
    ),
    ("did not find expected ',' or '}'", "a '{' is not closed; expected ',' or '}' before this line"),
    ("did not find expected ',' or ']'", "a '[' is not closed; expected ',' or ']' before this line"),
    ("misplaced bracket", "a bracket is closed that was never opened; expected it to be left out"),
    ("unclosed quote", "a quote is opened and never closed; expected it once more at the end of the text"),
    ("illegal placement of ':'", "a ':' stands where no field can begin; expected NAME: VALUE"),
    ("Recursive reference", "an alias stands within its own anchor; expected it after the anchor's end"),
    (
        "anchor or alias, did not find expected",
        "an '&' or '*' has no name after it; expected a name, or quotes around the text",
    ),
    (
        "found unknown escape character",
        "a text in double quotes holds a '\\' that means nothing; expected '\\\\', or single quotes around the text",
    ),
    (
        "while scanning a block scalar",
        "text follows the '|' or '>' on its line; expected it on the next line",
    ),
    ("YAML merge value must be", "'<<' takes in something else than a map; expected an alias of one"),
    ("invalid u64", "is no whole number, as its tag says; expected one, or no tag"),
];

/// The message in words; as it is, where no better ones are known.
pub(super) fn in_words(message: String) -> String {
    if let Some(found) =
        message.strip_prefix("unexpected character: `").and_then(|rest| rest.strip_suffix('\''))
    {
        return format!("no plain text begins with or holds {found}; expected quotes around the text");
    }
    match WORDS.iter().find(|(part, _)| message.contains(part)) {
        Some((_, words)) => (*words).to_owned(),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_better_stays_as_it_is() {
        assert_eq!(in_words("something new".into()), "something new");
        assert_eq!(
            in_words("tabs disallowed within this context".into()),
            "a tab indents this line; expected spaces"
        );
    }
}
