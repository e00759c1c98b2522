//! What `nave` does without a hub: help, usage errors, contexts, rendering files, completions.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// A home of its own for each test.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("config.yaml")
    }

    fn nave(&self, arguments: &[&str]) -> Ran {
        self.nave_reading(arguments, "")
    }

    fn nave_reading(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nave"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("NAVE_CONFIG", self.config())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nave starts");
        let mut stdin = child.stdin.take().expect("standard input");
        // A command that reads nothing may be gone already.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("nave ends");
        Ran {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        // Files of contexts are read only where nobody else can read them.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("made private");
    }
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples")
}

const VERBS: [&str; 23] = [
    "apply",
    "get",
    "describe",
    "diff",
    "render",
    "delete",
    "suspend",
    "resume",
    "history",
    "undo",
    "wait",
    "failover",
    "cordon",
    "uncordon",
    "drain",
    "hub",
    "token",
    "join",
    "context",
    "version",
    "doctor",
    "completions",
    "help",
];

#[test]
fn help_names_every_verb_and_every_verb_has_an_example() {
    let home = Home::new();
    let help = home.nave(&["--help"]);
    assert_eq!(help.code, 0);
    for verb in VERBS {
        assert!(help.out.contains(&format!("  {verb} ")), "{verb}: {}", help.out);
    }
    for verb in VERBS.iter().filter(|verb| !matches!(**verb, "help" | "token" | "context")) {
        let help = home.nave(&[verb, "--help"]);
        assert!(help.code == 0 && help.out.contains("Example"), "{verb}: {}", help.out);
    }
    for verb in
        ["plan", "drill", "run", "status", "history", "approve", "abort", "confirm-fenced", "freeze", "thaw"]
            .map(|verb| ["failover", verb])
            .into_iter()
            .chain(["status", "maintenance", "backup", "release"].map(|verb| ["hub", verb]))
    {
        let help = home.nave(&[verb[0], verb[1], "--help"]);
        assert!(help.code == 0 && help.out.contains("Example"), "{verb:?}: {}", help.out);
    }
    for verb in [["token", "create"], ["token", "list"], ["context", "import"], ["context", "use"]] {
        let help = home.nave(&[verb[0], verb[1], "--help"]);
        assert!(help.code == 0 && help.out.contains("Example"), "{verb:?}: {}", help.out);
    }
    assert!(help.out.contains("Exit codes: 0 done, 1 failed, 2 wrong usage, 3 timed out, 4 degraded."));
}

#[test]
fn wrong_usage_is_exit_code_2_and_says_what_was_expected() {
    let home = Home::new();
    home.write("config.yaml", "contexts: []\n");
    for (arguments, expected) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["get", "aplications"], "did you mean \"applications\"?"),
        (&["get", "tokens", "-l", "a=b"], "--selector is for applications and clusters"),
        (&["get", "apps", "--project", "No"], "project name \"No\" is not valid"),
        (&["apply"], "--filename <FILE>"),
        (&["apply", "-f", "x", "-n", "shop"], "--app <NAME>"),
        (&["apply", "-f", "x", "--wait", "--timeout", "5"], "expected numbers with units"),
        (&["render", "-f", "x"], "--cluster <CLUSTER>"),
        (&["delete", "events", "x"], "only applications, clusters and tokens can be deleted"),
        (&["delete", "app", "x", "--force"], "--force is for clusters"),
        (&["failover", "plam", "--region", "eu"], "'plan'"),
        (&["failover", "plan"], "--region <REGION>"),
        (&["failover", "approve", "shop", "0"], "0 is not in 1.."),
        (&["failover", "confirm-fenced", "ledger"], "--cluster <CLUSTER>"),
        (&["drain"], "<CLUSTER"),
        (&["cordon", "eu-1", "--region", "eu"], "cannot be used with"),
        (&["hub", "maintenance"], "--for <DURATION>"),
        (&["hub", "maintenance", "--for", "30m", "--end"], "cannot be used with"),
        (&["hub", "release"], "--keep-running"),
        (&["hub", "backup"], "--output <FILE>"),
        (&["describe", "application"], "expected one name"),
        (&["describe", "pod", "x"], "expected application NAME or cluster NAME"),
        (&["get", "apps", "--hub", "127.0.0.1"], "expected HOST:PORT"),
        (&["get", "apps", "--hub", "https://hub:7443"], "expected HOST:PORT"),
        (&["token", "create", "--label", "region"], "expected KEY=VALUE"),
        (&["undo", "shop", "--to-revision", "0"], "0 is not in 1.."),
        (&["join", "--name", "eu-1", "--token", "nonsense"], "nave token create"),
    ] {
        let ran = home.nave(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(expected), "{arguments:?}: {}", ran.err);
        assert!(ran.out.is_empty(), "{arguments:?}: {}", ran.out);
    }
}

#[test]
fn without_a_context_it_says_where_to_get_one() {
    let ran = Home::new().nave(&["get", "applications"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("error: there are no contexts in "), "{}", ran.err);
    assert!(ran.err.contains("nave context import FILE"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
}

/// A context whose key and certificates are none: good for what never dials, or fails to.
fn context(name: &str, address: &str) -> String {
    format!(
        "contexts:\n- name: {name}\n  addresses: [\"{address}\"]\n  authority: AUTHORITY\n  certificate: CERTIFICATE\n  key: VERY-SECRET\n"
    )
}

#[test]
fn contexts_are_imported_chosen_shown_and_deleted_and_keys_are_never_printed() {
    let home = Home::new();
    home.write("a.yaml", &context("admin", "hub-a:7443"));
    home.write("b.yaml", &context("admin", "hub-b:7443"));
    assert_eq!(home.nave(&["context", "import", "a.yaml", "--name", "a"]).code, 0);
    let imported =
        home.nave_reading(&["context", "import", "-", "--name", "b"], &context("admin", "hub-b:7443"));
    assert_eq!((imported.code, imported.out.as_str()), (0, "context b imported\n"), "{}", imported.err);
    let mode = std::fs::metadata(home.config()).expect("the file of contexts").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let listed = home.nave(&["context", "list"]).out;
    assert_eq!(
        listed,
        "CURRENT   NAME   ADDRESSES\n*         a      hub-a:7443\n          b      hub-b:7443\n"
    );
    assert_eq!(home.nave(&["context", "use", "b"]).code, 0);
    for arguments in [&["context", "show"][..], &["context", "list", "-o", "json"], &["context", "show", "a"]]
    {
        let shown = home.nave(arguments);
        assert_eq!(shown.code, 0);
        assert!(shown.out.contains("CERTIFICATE") && !shown.out.contains("VERY-SECRET"), "{}", shown.out);
    }
    std::fs::set_permissions(home.0.path().join("a.yaml"), Permissions::from_mode(0o644))
        .expect("made public");
    let public = home.nave(&["context", "import", "a.yaml"]);
    assert!(public.code == 1 && public.err.contains("chmod 600"), "{}", public.err);
    let missing = home.nave(&["context", "use", "c"]);
    assert!(missing.code == 1 && missing.err.contains("there is no context \"c\""), "{}", missing.err);
    assert_eq!(home.nave(&["context", "delete", "b"]).code, 0);
    let ran = home.nave(&["get", "apps"]);
    assert!(ran.code == 1 && ran.err.contains("no context is the current one"), "{}", ran.err);
}

#[test]
fn a_context_of_another_hub_is_not_overwritten() {
    let home = Home::new();
    home.write("a.yaml", &context("nave", "hub-a:7443"));
    home.write("moved.yaml", &context("nave", "hub-c:7443"));
    home.write("b.yaml", &context("nave", "hub-b:7443").replace("AUTHORITY", "ANOTHER"));
    assert_eq!(home.nave(&["context", "import", "a.yaml"]).code, 0);
    let refused = home.nave(&["context", "import", "b.yaml", "--use"]);
    let expected = "error: there is already a context \"nave\" of another hub; give --name\n";
    assert_eq!((refused.code, refused.err.as_str()), (1, expected));
    assert_eq!(home.nave(&["context", "import", "moved.yaml"]).code, 0, "the same hub may move");
    assert_eq!(home.nave(&["context", "import", "b.yaml", "--name", "b"]).code, 0);
    let listed = home.nave(&["context", "list"]).out;
    assert_eq!(
        listed,
        "CURRENT   NAME   ADDRESSES\n*         nave   hub-c:7443\n          b      hub-b:7443\n"
    );
}

#[test]
fn a_hub_that_is_not_there_is_named_with_why_and_what_to_do() {
    let home = Home::new();
    home.write("config.yaml", &format!("{}current: a\n", context("a", "127.0.0.1:1")));
    let ran = home.nave(&["get", "apps"]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{}", ran.err);
    assert!(
        ran.err.contains("certificates cannot be used") && ran.err.contains("127.0.0.1:1"),
        "{}",
        ran.err
    );
    assert!(!ran.err.contains("VERY-SECRET"), "{}", ran.err);
}

#[test]
fn the_examples_render_without_a_hub_for_every_region() {
    let home = Home::new();
    for example in ["shop", "hello", "overrides"] {
        let path = examples().join(example);
        let path = path.to_str().expect("a path");
        for region in ["eu", "us", "ap"] {
            let labels = format!("region={region},env=demo,size=large");
            let ran = home.nave(&["render", "-f", path, "--labels", &labels]);
            assert_eq!(ran.code, 0, "{example}: {}", ran.err);
            assert!(!ran.out.contains("${nave:"), "{example}: {}", ran.out);
        }
    }
}

#[test]
fn a_rendering_has_the_clusters_changes_and_masks_secrets() {
    let home = Home::new();
    let shop = examples().join("shop");
    let shop = shop.to_str().expect("a path");
    let eu = home.nave(&["render", "-f", shop, "--labels", "region=eu", "-o", "json"]);
    let list: serde_json::Value = serde_json::from_str(&eu.out).expect("JSON");
    let items = list["items"].as_array().expect("items");
    let find = |kind: &str, name: &str| {
        items
            .iter()
            .find(|item| item["kind"] == kind && item["metadata"]["name"] == name)
            .expect("it is there")
    };
    assert_eq!(find("Deployment", "frontend")["spec"]["replicas"], 4);
    assert_eq!(find("ConfigMap", "shop")["data"]["CURRENCY"], "EUR");
    assert_eq!(find("Namespace", "shop")["metadata"]["name"], "shop");
    assert_eq!(find("Secret", "payment-credentials")["data"]["apiKey"], "***");
    assert_eq!(find("Ingress", "shop")["spec"]["rules"][0]["host"], "shop.eu.example.com");
    let elsewhere = home.nave(&["render", "-f", shop, "--labels", ""]);
    assert!(elsewhere.out.contains("CURRENCY: USD"), "{}", elsewhere.err);
}

#[test]
fn a_broken_file_is_refused_with_its_line_before_a_hub_is_looked_for() {
    let home = Home::new();
    home.write(
        "app.yaml",
        "apiVersion: nave.dev/v1alpha1\nkind: Application\nmetadata: {name: shop}\nspec:\n  sauce: {}\n",
    );
    let ran = home.nave(&["apply", "-f", "app.yaml"]);
    assert_eq!((ran.code, ran.err.lines().count()), (1, 1), "{}", ran.err);
    assert!(ran.err.starts_with("error: app.yaml:5:"), "{}", ran.err);
    assert!(ran.err.contains("sauce"), "{}", ran.err);
}

#[test]
fn plain_manifests_are_told_from_documents() {
    let home = Home::new();
    home.write("all/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    let ran = home.nave(&["apply", "-f", "all"]);
    assert!(ran.code == 1 && ran.err.contains("nave apply --app NAME"), "{}", ran.err);
    // Beside an application that names them, manifests are its own.
    home.write(
        "all/app.yaml",
        "apiVersion: nave.dev/v1alpha1\nkind: Application\nmetadata: {name: a}\nspec: {source: {bundle: {path: cm.yaml}}}\n",
    );
    let ran = home.nave(&["render", "-f", "all", "--labels", "a=b"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"),
        "{}",
        ran.err
    );
}

#[test]
fn what_stands_in_two_files_is_refused() {
    let home = Home::new();
    let inline = "{inline: {manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]}}";
    let document = format!(
        "apiVersion: nave.dev/v1alpha1\nkind: Application\nmetadata: {{name: a}}\nspec: {{source: {inline}}}\n"
    );
    home.write("all/1.yaml", &document);
    home.write("all/2.yaml", &document);
    let ran = home.nave(&["apply", "-f", "all"]);
    assert!(
        ran.code == 1 && ran.err.contains("application default/a is there twice, first in all/1.yaml:1"),
        "{}",
        ran.err
    );
}

#[test]
fn a_missing_file_is_named() {
    let ran = Home::new().nave(&["apply", "-f", "nowhere.yaml"]);
    assert!(ran.code == 1 && ran.err.starts_with("error: cannot read nowhere.yaml: "), "{}", ran.err);
}

#[test]
fn completions_and_version_need_no_hub() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = home.nave(&["completions", shell]);
        assert!(ran.code == 0 && ran.out.contains("nave"), "{shell}");
    }
    let version = home.nave(&["version", "--client"]);
    assert_eq!((version.code, version.out.as_str()), (0, concat!("nave ", env!("CARGO_PKG_VERSION"), "\n")));
    let version = home.nave(&["version", "--client", "-o", "json"]);
    let version: serde_json::Value = serde_json::from_str(&version.out).expect("JSON");
    assert_eq!(version["client"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = Home::new();
    let script =
        format!("{} completions bash | head -n 1; echo ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_nave"));
    let output =
        Command::new("bash").args(["-c", &script]).env("NAVE_CONFIG", home.config()).output().expect("bash");
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("\n0\n"), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn join_prints_what_can_be_applied() {
    let home = Home::new();
    // A token's text is a hub's to make; what is no token is refused without being quoted.
    let ran = home.nave(&["join", "--name", "eu-1", "--token", "VERY-SECRET", "--print"]);
    assert!(ran.code == 2 && !ran.err.contains("VERY-SECRET"), "{}", ran.err);
}
