//! What is named on the command line: kinds, and the names of applications and clusters.

use nave_common::name::{ApplicationKey, ProjectName};
use nave_common::suggest::did_you_mean;

use crate::exit::{Failure, Outcome};

/// The kinds that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Application,
    Cluster,
    Assignment,
    Event,
    Revision,
    Token,
}

/// Every word for a kind; the first of a kind is its proper name.
const WORDS: [(&str, Kind); 17] = [
    ("applications", Kind::Application),
    ("application", Kind::Application),
    ("apps", Kind::Application),
    ("app", Kind::Application),
    ("clusters", Kind::Cluster),
    ("cluster", Kind::Cluster),
    ("cl", Kind::Cluster),
    ("assignments", Kind::Assignment),
    ("assignment", Kind::Assignment),
    ("asg", Kind::Assignment),
    ("events", Kind::Event),
    ("event", Kind::Event),
    ("ev", Kind::Event),
    ("revisions", Kind::Revision),
    ("revision", Kind::Revision),
    ("rev", Kind::Revision),
    ("tokens", Kind::Token),
];

impl Kind {
    fn of(word: &str) -> Option<Self> {
        let word = word.to_lowercase();
        match word.as_str() {
            "token" | "tok" => Some(Self::Token),
            word => WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind),
        }
    }
}

/// Every kind, for errors.
const EVERY_KIND: &str = "applications, clusters, assignments, events, revisions or tokens";

/// Reads `KIND NAME…` or `KIND/NAME…`. An application's name may be `PROJECT/NAME`.
pub(super) fn parse(what: &[String]) -> Outcome<(Kind, Vec<String>)> {
    parse_some(what, EVERY_KIND)
}

/// The same, of a verb that takes only what is `expected`.
pub(super) fn parse_some(what: &[String], expected: &str) -> Outcome<(Kind, Vec<String>)> {
    let unknown = |word: &str| unknown(word, expected);
    let Some(first) = what.first() else { return Err(unknown("")) };
    if let Some(kind) = Kind::of(first) {
        return Ok((kind, what[1..].to_vec()));
    }
    let split = |word: &String| {
        let (kind, name) = word.split_once('/').ok_or_else(|| unknown(word))?;
        Ok((Kind::of(kind).ok_or_else(|| unknown(kind))?, name.to_owned()))
    };
    let named: Vec<(Kind, String)> = what.iter().map(split).collect::<Outcome<_>>()?;
    let kind = named[0].0;
    if named.iter().any(|(other, _)| *other != kind) {
        return Err(Failure::usage("names of several kinds at once; expected one kind"));
    }
    Ok((kind, named.into_iter().map(|(_, name)| name).collect()))
}

/// Reads the names of applications, with or without the kind before them.
pub(super) fn applications(what: &[String], project: &ProjectName) -> Outcome<Vec<ApplicationKey>> {
    let is_kind = |word: &String| Kind::of(word) == Some(Kind::Application);
    let names = match what {
        [first, names @ ..] if is_kind(first) && !names.is_empty() => names,
        names => names,
    };
    names
        .iter()
        .map(|name| {
            let name = match name.split_once('/') {
                Some((kind, name)) if Kind::of(kind) == Some(Kind::Application) => name,
                Some((kind, _)) if Kind::of(kind).is_some() => {
                    return Err(Failure::usage(format!("{name} is no application")));
                }
                _ => name.as_str(),
            };
            application(name, project)
        })
        .collect()
}

/// Reads the name of exactly one application.
pub(super) fn one_application(what: &[String], project: &ProjectName) -> Outcome<ApplicationKey> {
    match applications(what, project)?.as_slice() {
        [key] => Ok(key.clone()),
        _ => Err(Failure::usage("expected one application: application NAME, or NAME")),
    }
}

/// `NAME` in the project that is meant, or `PROJECT/NAME`.
pub(super) fn application(name: &str, project: &ProjectName) -> Outcome<ApplicationKey> {
    let key = match name.split_once('/') {
        Some(_) => name.parse(),
        None => name.parse().map(|name| ApplicationKey::new(project.clone(), name)),
    };
    key.map_err(Failure::usage)
}

fn unknown(word: &str, expected: &str) -> Failure {
    let known = WORDS.iter().map(|(known, _)| *known).filter(|known| expected.contains(known));
    let meant = did_you_mean(word, known);
    Failure::usage(format!("{word:?} is no kind{meant}; expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn kinds_come_before_names_or_with_a_slash() {
        for (typed, kind, names) in [
            ("apps", Kind::Application, vec![]),
            ("application shop ledger", Kind::Application, vec!["shop", "ledger"]),
            ("app/shop app/retail/ledger", Kind::Application, vec!["shop", "retail/ledger"]),
            ("CL eu-1", Kind::Cluster, vec!["eu-1"]),
            ("tok", Kind::Token, vec![]),
        ] {
            let names = names.into_iter().map(str::to_owned).collect();
            assert_eq!(parse(&words(typed)).unwrap(), (kind, names), "{typed}");
        }
        let error = parse(&words("aplications")).unwrap_err();
        assert!(error.message().unwrap().contains("did you mean \"applications\"?"), "{error:?}");
        assert!(parse(&words("app/shop cl/eu-1")).is_err());
    }

    #[test]
    fn an_application_may_be_named_with_or_without_kind_and_project() {
        let project = ProjectName::default();
        for (typed, expected) in [
            ("shop", "default/shop"),
            ("application shop", "default/shop"),
            ("app/shop", "default/shop"),
            ("retail/shop", "retail/shop"),
            ("application retail/shop", "retail/shop"),
            ("application/retail/shop", "retail/shop"),
            ("app", "default/app"),
        ] {
            assert_eq!(one_application(&words(typed), &project).unwrap().to_string(), expected, "{typed}");
        }
        assert!(one_application(&words("cluster/eu-1"), &project).is_err());
        assert!(one_application(&words("shop ledger"), &project).is_err());
    }
}
