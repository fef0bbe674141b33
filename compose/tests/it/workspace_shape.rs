//! Dependency direction and the files at the top level.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The folder of the workspace.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

const SERVICES: [&str; 5] = ["producer", "enricher", "detector", "api", "scheduler"];
/// All crates of the workspace.
pub const MEMBERS: [&str; 7] = ["producer", "enricher", "detector", "api", "scheduler", "shared", "compose"];

fn workspace_dependencies(member: &str) -> BTreeSet<String> {
    let manifest = std::fs::read_to_string(root().join(member).join("Cargo.toml")).expect("every member has a manifest");
    let members: BTreeSet<&str> = MEMBERS.into_iter().collect();
    let names = manifest.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| members.contains(name)).map(str::to_owned).collect()
}

#[test]
fn services_depend_on_shared_only_and_compose_on_all() {
    let mut expected: BTreeMap<&str, BTreeSet<String>> = SERVICES.into_iter().map(|service| (service, BTreeSet::from(["shared".to_owned()]))).collect();
    expected.insert("shared", BTreeSet::new());
    expected.insert("compose", SERVICES.into_iter().chain(["shared"]).map(str::to_owned).collect());
    for (member, dependencies) in expected {
        assert_eq!(workspace_dependencies(member), dependencies, "{member}");
    }
}

#[test]
fn the_top_level_holds_the_services_and_the_files_tools_need() {
    let allowed: BTreeSet<&str> = SERVICES
        .into_iter()
        .chain([
            "shared",
            "compose",
            "schemas",
            "Cargo.toml",
            "Cargo.lock",
            "README.md",
            "ARCHITECTURE.md",
            "LICENSE",
        ])
        .chain([
            "clippy.toml",
            "rustfmt.toml",
            "deny.toml",
            ".ci",
            ".cargo",
            ".env.example",
            ".gitignore",
            ".dockerignore",
        ])
        .collect();
    // What git does not hold: the repository itself, builds, data, secrets.
    let ignored: BTreeSet<&str> = BTreeSet::from([".git", "target", "data", ".env"]);
    for entry in std::fs::read_dir(root()).expect("the workspace is readable") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        assert!(
            allowed.contains(name.as_str()) || ignored.contains(name.as_str()),
            "{name} does not belong at the top level"
        );
    }
    for name in ["Cargo.toml", "README.md", "ARCHITECTURE.md", "schemas", ".ci", "LICENSE", ".env.example"] {
        assert!(root().join(name).exists(), "{name} is missing");
    }
}

/// Every `.rs` file below a folder.
pub fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn a_library_is_named_only_where_it_belongs() {
    for (library, homes) in [
        // The benchmark makes and forgets what it measures on.
        ("rdkafka::", ["shared/src/adapters/kafka", "compose/src/bin/bench"].as_slice()),
        ("backoff::", &["shared/src/retry.rs"]),
        ("elasticsearch::", &["shared/src/adapters/elastic"]),
        ("cron::", &["scheduler/src"]),
    ] {
        for member in MEMBERS {
            let mut files = Vec::new();
            sources(&root().join(member).join("src"), &mut files);
            for file in files {
                let place = file.strip_prefix(root()).expect("below the root").to_string_lossy();
                let inside = homes.iter().any(|home| place.starts_with(home));
                let text = std::fs::read_to_string(&file).expect("readable");
                let used = text.lines().any(|line| {
                    let line = line.trim_start();
                    !line.starts_with("//")
                        && (line.starts_with(&format!("use {library}")) || line.contains(&format!(" {library}")) || line.contains(&format!("<{library}")))
                });
                assert!(inside || !used, "{library} is named in {}", file.display());
            }
        }
    }
}

/// Clippy refuses arithmetic on them; this, that they are there at all.
#[test]
fn no_float_stands_where_money_is_computed() {
    let files = [
        "shared/src/domain",
        "shared/src/wire",
        "enricher/src/statistics.rs",
        "detector/src/detect.rs",
        "api/src/prices.rs",
        "api/src/routes/profit.rs",
        "api/src/routes/what_if.rs",
        "api/src/routes/opportunities.rs",
        "api/src/routes/statistics.rs",
    ];
    let mut found = Vec::new();
    for path in files.map(|path| root().join(path)) {
        if path.is_dir() {
            sources(&path, &mut found);
        } else {
            found.push(path);
        }
    }
    // It names them to refuse them.
    found.retain(|file| !file.ends_with("wire/json.rs"));
    for file in &found {
        let text = std::fs::read_to_string(file).expect("a source file");
        let is_float = |word: &str| matches!(word, "f32" | "f64" | "to_f64" | "as_f64" | "from_f64");
        let float = text
            .split(|character: char| !character.is_alphanumeric() && character != '_')
            .find(|word| is_float(word));
        assert_eq!(float, None, "{}", file.display());
    }
    assert!(found.len() > 40, "{} files", found.len());
}

#[test]
fn the_domain_is_pure() {
    let mut files = Vec::new();
    sources(&root().join("shared/src/domain"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        for word in ["tokio", "reqwest", "std::fs", "std::env", "async fn", "SystemTime", "Instant::now"] {
            assert!(!text.contains(word), "{} names {word}", file.display());
        }
        // The one clock of the product stands beside the type it makes.
        assert!(file.ends_with("keepa_time.rs") || !text.contains("::now()"), "{} reads a clock", file.display());
    }
}
