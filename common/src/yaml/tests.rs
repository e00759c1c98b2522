//! Tests of strict YAML: positions, types, bounds.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(text: &str) -> Vec<Value> {
    documents(text, "test.yaml").unwrap().into_iter().map(|document| document.value).collect()
}

#[test]
fn plain_values_are_read_as_kubectl_reads_them() {
    let text = "a: 0644\nb: 1_000\nc: 0x1F\nd: 1.5\ne: true\nf: ~\ng: 12:30\nh: 2026-01-31\ni: 1.2.3\nj: -7\nk: '5'\n";
    let expected = json!({"a": 420, "b": 1000, "c": 31, "d": 1.5, "e": true, "f": null, "g": "12:30", "h": "2026-01-31",
                          "i": "1.2.3", "j": -7, "k": "5"});
    assert_eq!(read(text), [expected]);
}

#[test]
fn the_booleans_of_yaml_1_1_are_strings() {
    assert_eq!(read("[yes, no, on, off, y, n]"), [json!(["yes", "no", "on", "off", "y", "n"])]);
}

#[test]
fn keys_are_strings_however_they_are_written() {
    assert_eq!(read("80: a\ntrue: b\n1.5: c\n"), [json!({"80": "a", "true": "b", "1.5": "c"})]);
}

#[test]
fn json_is_yaml_with_tabs_and_escapes() {
    assert_eq!(
        read("{\n\t\"a\": \"\\ud83d\\ude00\\/\",\n\t\"b\": [1]\n}\n"),
        [json!({"a": "😀/", "b": [1]})]
    );
}

#[test]
fn merges_and_aliases_are_expanded() {
    assert_eq!(
        read("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n"),
        [json!({"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 1}})]
    );
}

#[test]
fn empty_documents_are_skipped_and_lines_count_through_the_file() {
    let text = "---\n# nothing\n---\n\na: 1\n---\n...\n---\n# more\nb: 2\n";
    let documents = documents(text, "test.yaml").unwrap();
    assert_eq!(documents.iter().map(|document| document.line).collect::<Vec<_>>(), [5, 10]);
    assert_eq!(documents[1].error(FieldError::new("b", "is bad")).to_string(), "test.yaml:10:1: b: is bad");
}

#[test]
fn a_long_text_behind_many_aliases_is_refused() {
    let text = format!(
        "a: &a {}\nb: &b [{}]\nc: [{}]\n",
        "x".repeat(4 << 20),
        ["*a"; 9].join(","),
        ["*b"; 9].join(",")
    );
    assert!(documents(&text, "test.yaml").is_err());
}

#[test]
fn a_list_is_not_taken_for_a_struct() {
    let error = from_value::<crate::metadata::ClusterMetadata>(json!(["eu-1"])).unwrap_err();
    assert_eq!(error.to_string(), "is a list; expected a map");
}

#[test]
fn deep_values_can_be_written_on_a_small_stack() {
    let deep = (0..64).fold(json!(1), |inner, _| json!({"a": [inner]}));
    assert!(to_string(&deep).unwrap().len() > 64);
}

#[test]
fn secrets_are_not_quoted_by_errors() {
    for text in [
        "data: {pin: \"hunter2",
        "data: {pin: hunter2: hunter2}",
        "data:\n  pin: |\n  hunter2\n x: 1",
        "hunter2: 1\nx: *hunter2",
    ] {
        let error = documents(text, "test.yaml").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

/// Values with texts that YAML could take for something else.
fn any_value() -> impl Strategy<Value = Value> {
    const TEXTS: &[&str] = &[
        "yes",
        "0644",
        "1_000",
        "0x1f",
        "null",
        "~",
        "",
        " ",
        "a: b",
        "# x",
        "- x",
        "\n",
        "a\n\n",
        " a\nb",
        "1e3",
        "\u{feff}x",
        "é😀",
        "\t",
        "2026-01-31",
        ".5",
        "<<",
        "=",
        "'",
        "\"",
        "a\r\nb",
        "\u{85}",
        "x\u{2028}y",
        "- ",
        "? a",
        "| a",
        "%x",
        "@",
        "`",
        "!x",
        "&a",
        "*a",
        "0o7",
        "+1",
        "1:30",
        "\u{0}",
        "...",
        "---",
    ];
    let text =
        prop_oneof![proptest::sample::select(TEXTS).prop_map(str::to_owned), "[ -~]{0,100}", any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(text.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_equal(value in any_value()) {
        let value = json!({"value": value});
        let text = to_string(&value).unwrap();
        prop_assert_eq!(read(&text), vec![value], "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-z0-9 \n:{}\\[\\],&*!|>'\"#%@`-]{0,80}") {
        if let Ok(documents) = documents(&text, "test.yaml") {
            for document in documents {
                let _ = document.error(FieldError::new("a[0].b", "is bad"));
            }
        }
    }
}
