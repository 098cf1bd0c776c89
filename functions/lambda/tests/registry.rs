//! Whoever adds an operation is told here what is missing: a binary, a function, its routes, its permissions, a sample
//! event, a route of `cargo lambda watch`, a case in the conformance suite.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use model::Operation;
use service::ops::{Needs, needs};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn kebab(operation: Operation) -> String {
    operation.snake().replace('_', "-")
}

/// `METHOD /path` of the operation, as the template writes it.
fn route(operation: Operation, prefix: &str) -> String {
    let method = match operation {
        Operation::ListTagsForResource => "GET",
        Operation::UntagResource => "DELETE",
        _ => "POST",
    };
    match operation {
        Operation::ListTagsForResource | Operation::TagResource | Operation::UntagResource => {
            format!("{method} {prefix}/tags/{{resourceArn+}}")
        }
        _ => format!("{method} {prefix}/{operation}"),
    }
}

/// The resource of this name: its lines up to the next one.
fn resource(template: &str, name: &str) -> String {
    let start = format!("\n  {name}:\n");
    let (_, rest) = template
        .split_once(&start)
        .unwrap_or_else(|| panic!("infra/template.yaml has no {name}"));
    let lines = rest
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_operation_has_a_binary() {
    for operation in Operation::ALL {
        let file = match operation {
            Operation::QueryVectors => "functions/query/src/main.rs".to_owned(),
            _ => format!("functions/api/src/bin/{}.rs", kebab(operation)),
        };
        let main = text(&file);
        assert!(
            main.contains(&format!("lambda::serve::<service::ops::{operation}>()")),
            "{file}"
        );
        assert!(main.lines().count() <= 5, "{file}: no logic in a binary");
    }
    let binaries = fs::read_dir(repository().join("functions/api/src/bin"))
        .unwrap()
        .count();
    assert_eq!(binaries, Operation::ALL.len() - 1);
}

#[test]
fn each_operation_has_a_function_with_routes() {
    let template = text("infra/template.yaml");
    for operation in Operation::ALL {
        let function = resource(&template, &format!("{operation}Function"));
        assert!(
            function.contains("BuildMethod: makefile") && function.contains(&kebab(operation)),
            "{operation}: {function}"
        );
        assert!(
            function.contains(&format!("!GetAtt {operation}Role.Arn")),
            "{operation}: a role of its own"
        );
        for (name, prefix) in [("Route", ""), ("GuideRoute", "/s3-vectors")] {
            let made = resource(&template, &format!("{operation}{name}"));
            assert!(
                made.contains(&format!("RouteKey: {}\n", route(operation, prefix))),
                "{operation}: {made}"
            );
            assert!(
                made.contains(&format!("${{{operation}Integration}}")),
                "{operation}: {made}"
            );
        }
        let permission = resource(&template, &format!("{operation}Permission"));
        assert!(
            permission.contains("Principal: apigateway.amazonaws.com"),
            "{operation}: {permission}"
        );
    }
}

/// A role permits what its operation calls, and nothing that it does not.
#[test]
fn each_role_fits_what_its_operation_needs() {
    let template = text("infra/template.yaml");
    for operation in Operation::ALL {
        let role = resource(&template, &format!("{operation}Role"));
        let has = |action: &str| role.contains(action);
        let needs = needs(operation);
        assert_eq!(
            has("s3:GetObject") && has("s3:ListBucket"),
            needs.objects(),
            "{operation}: objects"
        );
        assert_eq!(
            has("sqs:SendMessage") && has("s3:PutObject"),
            needs.doorbell(),
            "{operation}: writes"
        );
        assert!(
            has("dynamodb:GetItem") || has("dynamodb:Query"),
            "{operation}: the catalog"
        );
        assert!(
            !has("dynamodb:*") && !has("s3:*") && !has("s3:DeleteObject"),
            "{operation}: too much"
        );
        let only_reads =
            operation.name().starts_with("Get") || operation.name().starts_with("List") || needs == Needs::Objects;
        let writes_items = ["PutItem", "UpdateItem", "DeleteItem"].iter().any(|action| has(action));
        assert!(!(only_reads && writes_items), "{operation}: it only reads");
    }
}

/// A variable that nobody reads, or that is read and never set for lack of a name, changes nothing and says nothing.
#[test]
fn each_variable_of_the_template_is_read() {
    let (template, settings) = (text("infra/template.yaml"), text("functions/lambda/src/settings.rs"));
    let names = |text: &str| {
        let rest = text.split("GENAI_VECTORS_").skip(1);
        let name = |rest: &str| {
            rest.chars()
                .take_while(|c| c.is_ascii_uppercase() || *c == '_')
                .collect()
        };
        rest.map(name).collect::<std::collections::BTreeSet<String>>()
    };
    let (set, read) = (names(&template), names(&settings));
    let unread: Vec<_> = set.difference(&read).collect();
    assert!(unread.is_empty(), "nobody reads {unread:?}");
    // Only for development, or for tests that cannot wait.
    let unset: Vec<_> = read.difference(&set).map(String::as_str).collect();
    assert_eq!(unset, ["CACHE_DIR", "FOLD_AGE_MS", "KEYS", "SETTLE_MS"]);
}

#[test]
fn each_operation_has_a_sample_event_and_a_route_of_the_watch() {
    let manifest = text("Cargo.toml");
    let (_, router) = manifest
        .split_once("[workspace.metadata.lambda.watch.router]")
        .expect("the watch router");
    for operation in Operation::ALL {
        let event: serde_json::Value =
            serde_json::from_str(&text(&format!("events/{}.json", kebab(operation)))).unwrap();
        assert_eq!(event["routeKey"], route(operation, ""), "{operation}");
        assert!(
            router.contains(&format!("\"{}\"", kebab(operation))),
            "{operation}: [workspace.metadata.lambda.watch.router]"
        );
    }
    for function in ["fold", "compact", "sweep", "collect"] {
        text(&format!("events/{function}.json"));
        text(&format!("functions/indexer/src/bin/{function}.rs"));
    }
}

#[test]
fn each_operation_has_a_case_in_the_conformance_suite() {
    let mut suite = String::new();
    for entry in fs::read_dir(repository().join("tests/conformance")).unwrap() {
        let path = entry.unwrap().path();
        let is_case = path.file_name().unwrap().to_str().unwrap().starts_with("test_");
        if is_case {
            suite += &fs::read_to_string(path).unwrap();
        }
    }
    for operation in Operation::ALL {
        assert!(suite.contains(&format!("\"{operation}\"")), "{operation}");
    }
}
