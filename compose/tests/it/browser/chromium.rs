//! A browser, what drives it, and a page script run with both.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::stage::{Order, Stage};

/// Page scripts, and the list of what they need.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/browser/pages");
/// Beyond this a script hangs; none takes half of it.
const DEADLINE: Duration = Duration::from_secs(180);
/// Packages are fetched once for each state of the list.
const FETCHED_WITHIN: Duration = Duration::from_secs(120);

static PACKAGES: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();

/// Headless Chromium, driven by a Node.js.
pub struct Browser {
    chromium: PathBuf,
    node: PathBuf,
    packages: PathBuf,
}

/// What a test does that has no browser: it says so and ends, except where nothing may be left out.
fn skip(test: &str, missing: &str) {
    assert!(
        std::env::var("BROWSER").as_deref() != Ok("required"),
        "{test} needs {missing}, and nothing is left out in CI"
    );
    // Not eprintln: the test runner would keep that to itself.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test} needs {missing}");
}

/// The first of these commands that is in PATH.
fn command(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut candidates = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.find(|candidate| candidate.is_file())
}

/// The folder with the packages of the list, fetched where it is not there yet.
async fn packages(npm: &Path) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    let done = folder.join("fetched.json");
    let wanted = std::fs::read(Path::new(SCRIPTS).join("package-lock.json")).map_err(|error| error.to_string())?;
    if std::fs::read(&done).is_ok_and(|fetched| fetched == wanted) {
        return Ok(folder);
    }
    let fetch = async {
        std::fs::create_dir_all(&folder)?;
        for name in ["package.json", "package-lock.json"] {
            std::fs::copy(Path::new(SCRIPTS).join(name), folder.join(name))?;
        }
        let mut fetch = Command::new(npm);
        fetch
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .stdin(Stdio::null());
        let output = tokio::time::timeout(FETCHED_WITHIN, fetch.kill_on_drop(true).output()).await??;
        if !output.status.success() {
            return Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        std::fs::write(&done, &wanted)
    };
    fetch.await.map(|()| folder.clone()).map_err(|error| format!("npm ci: {error}"))
}

impl Browser {
    /// The one of this machine: `CHROMIUM`, or what is in PATH.
    pub async fn find(test: &str) -> Option<Browser> {
        let named = std::env::var_os("CHROMIUM").filter(|path| !path.is_empty()).map(PathBuf::from);
        let chromium = named.or_else(|| command(&["chromium", "chromium-browser", "google-chrome"]));
        let (Some(chromium), Some(node), Some(npm)) = (chromium, command(&["node", "nodejs"]), command(&["npm"])) else {
            skip(test, "Chromium (chromium in PATH, or CHROMIUM), node and npm");
            return None;
        };
        match PACKAGES.get_or_init(|| packages(&npm)).await {
            Ok(packages) => Some(Browser {
                chromium,
                node,
                packages: packages.clone(),
            }),
            Err(why) => {
                skip(test, &format!("the packages of {SCRIPTS} ({why})"));
                None
            }
        }
    }

    /// Runs a page script on a stage: what it prints is printed, what it orders is done.
    pub async fn run(&self, script: &str, stage: &mut Stage) {
        let screenshots = std::env::var_os("SCREENSHOTS").filter(|folder| !folder.is_empty());
        let screenshots = screenshots.map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots"), PathBuf::from);
        std::fs::create_dir_all(&screenshots).expect("a folder for screenshots");
        let mut child = Command::new(&self.node)
            .args([&format!("{SCRIPTS}/run.mjs"), script])
            .env("BASE_URL", stage.url())
            .env("CHROMIUM", &self.chromium)
            .env("PACKAGES", &self.packages)
            .env("SCREENSHOTS", &screenshots)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let mut orders = child.stdin.take().expect("piped");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut errors = child.stderr.take().expect("piped");
        let follow = async {
            while let Some(line) = lines.next_line().await.expect("readable output") {
                match serde_json::from_str::<Order>(&line) {
                    Ok(order) => {
                        stage.carry_out(order).await;
                        orders.write_all(b"done\n").await.expect("the script waits for it");
                    }
                    Err(_) => println!("{line}"),
                }
            }
            child.wait().await.expect("waited for")
        };
        let mut said = String::new();
        let complain = errors.read_to_string(&mut said);
        let ended = tokio::time::timeout(DEADLINE, async { tokio::join!(follow, complain) }).await;
        let Ok((status, _)) = ended else {
            panic!("{script}.mjs is not done after {DEADLINE:?}");
        };
        assert!(status.success(), "{script}.mjs:\n{said}");
    }
}
