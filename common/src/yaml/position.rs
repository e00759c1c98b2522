//! Where a field stands in a file. Used for errors alone: it reads the file once more.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Line and column, from 1.
pub(super) type Position = (usize, usize);

/// The position of the field at `path` in the file's document number `index`, or of the closest field around it.
pub(super) fn find(text: &str, index: usize, path: &str) -> Option<Position> {
    let roots: Vec<Node> = super::parse(text).ok()?;
    let mut node = roots.get(index)?;
    let mut found = node.at;
    for segment in segments(path) {
        match (&node.content, segment) {
            (Content::List(items), Segment::Index(index)) => {
                let Some(item) = items.get(index) else { break };
                (node, found) = (item, item.at);
            }
            (Content::Map(fields), Segment::Key(key)) => {
                let Some((_, at, field)) = fields.iter().find(|(name, ..)| *name == key) else { break };
                (node, found) = (field, *at);
            }
            _ => break,
        }
    }
    Some(found)
}

/// One step of a field path.
#[derive(Debug, PartialEq)]
enum Segment {
    Key(String),
    Index(usize),
}

/// Takes `spec.overrides[2].images["a.b"]` apart.
fn segments(path: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let quoted = serde_json::Deserializer::from_str(inside).into_iter::<String>();
            let mut quoted = quoted;
            if inside.starts_with('"')
                && let Some(Ok(key)) = quoted.next()
            {
                rest = inside[quoted.byte_offset()..].trim_start_matches(']');
                segments.push(Segment::Key(key));
            } else {
                let (index, after) = inside.split_once(']').unwrap_or((inside, ""));
                let Ok(index) = index.parse() else { break };
                segments.push(Segment::Index(index));
                rest = after;
            }
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            segments.push(Segment::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    segments
}

/// A value's place, and the places of what it holds.
struct Node {
    at: Position,
    content: Content,
}

enum Content {
    Plain,
    List(Vec<Node>),
    /// Each field with the position of its key.
    Map(Vec<(String, Position, Node)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { at: position(&read), content: read.value })
    }
}

fn position<T>(read: &Spanned<T>) -> Position {
    let number = |n| usize::try_from(n).unwrap_or(0);
    (number(read.referenced.line()), number(read.referenced.column()))
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Content, E> {
        Ok(Content::Plain)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Content, E> {
        Ok(Content::Plain)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Content, E> {
        Ok(Content::Plain)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Content, E> {
        Ok(Content::Plain)
    }

    fn visit_str<E>(self, _: &str) -> Result<Content, E> {
        Ok(Content::Plain)
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Plain)
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Plain)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let at = position(&key);
            fields.push((key.value, at, access.next_value()?));
        }
        Ok(Content::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_as_errors_write_them() {
        let key = |text: &str| Segment::Key(text.into());
        assert_eq!(
            segments("spec.overrides[2].images[\"a.b/\\\"c\"].x"),
            [key("spec"), key("overrides"), Segment::Index(2), key("images"), key("a.b/\"c"), key("x")]
        );
        assert!(segments("").is_empty());
    }

    #[test]
    fn fields_are_found_by_their_keys_and_items_by_themselves() {
        let text = "a: 1\n---\n# a comment\nspec:\n  list:\n    - x: 1\n    - {y: 2, \"z.z\": {w: 3}}\n";
        for (path, expected) in [
            ("", (4, 1)),
            ("spec", (4, 1)),
            ("spec.list[0].x", (6, 7)),
            ("spec.list[1]", (7, 7)),
            ("spec.list[1][\"z.z\"].w", (7, 22)),
            ("spec.list[1].none", (7, 7)),
            ("spec.other.deeper", (4, 1)),
        ] {
            assert_eq!(find(text, 1, path), Some(expected), "{path}");
        }
        assert_eq!(find(text, 2, "a"), None);
    }
}
