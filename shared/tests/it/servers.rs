//! Where real servers are, if anybody says so.

use std::io::Write as _;

/// The address that this variable holds. Where it holds none the test says so and is skipped, except in CI, where nothing
/// is left out.
pub fn address_from(variable: &str, test: &str) -> Option<String> {
    let is_required = std::env::var("REAL_SERVERS").as_deref() == Ok("required");
    assert!(
        !is_required || value_of(variable).is_some(),
        "{test} needs {variable}, and nothing is left out in CI"
    );
    said_by(variable, test)
}

/// What this variable says of a server of an uncommon kind. Where it says nothing the test says so and is skipped: beside the
/// common kind there is none.
pub fn said_by(variable: &str, test: &str) -> Option<String> {
    let value = value_of(variable);
    if value.is_none() {
        // Past the test runner, which keeps the output of tests that pass to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {test} needs {variable}");
    }
    value
}

fn value_of(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}
