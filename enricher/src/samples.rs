//! Where tests find real responses and published vectors: beside the workspace, not in it.

use std::path::PathBuf;

/// A file of the folder with test inputs. Where the folder is missing the test says so and is skipped, except in CI,
/// where that is a failure.
pub fn read(path: &str) -> Option<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    if !folder.is_dir() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "the folder with test inputs is missing: {}",
            folder.display()
        );
        eprintln!("SKIPPED: the folder with test inputs is missing: {}", folder.display());
        return None;
    }
    let file = folder.join(path);
    Some(std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display())))
}
