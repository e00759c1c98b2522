//! Strict YAML: unknown fields, wrong types, duplicate keys and unbounded anchors are refused, with file and line.
