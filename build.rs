//! Build facts for reports, as `env!` variables: which sources, compiler, target, profile and flags made this program.
//! Needs nothing and never fails; what cannot be found out is empty.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the built program depends on. Only a change in here makes it another program than the commit's, so only this
/// puts the `+` behind the commit; and only this is watched, so that no other edit makes cargo build again.
const SOURCES: [&str; 7] = [
    "src",
    "kernels",
    "assets",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo",
];

fn main() {
    for source in SOURCES.iter().filter(|source| Path::new(source).exists()) {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed=RUSTFLAGS");

    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    set("TILELAB_COMMIT", &commit().unwrap_or_default());
    set(
        "TILELAB_RUSTC",
        &output(Command::new(rustc).arg("--version")).unwrap_or_default(),
    );
    set("TILELAB_TARGET", &variable("TARGET"));
    set("TILELAB_PROFILE", &variable("PROFILE"));
    // Cargo hands the flags over separated by 0x1f, wherever they were set.
    set(
        "TILELAB_RUSTFLAGS",
        &variable("CARGO_ENCODED_RUSTFLAGS").replace('\x1f', " "),
    );
}

/// The commit with `+` behind it if [`SOURCES`] differ from it; `None` without git or outside Tilelab's own checkout.
fn commit() -> Option<String> {
    // Sources unpacked inside somebody else's checkout must not carry its commit.
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != Path::new(&variable("CARGO_MANIFEST_DIR")).canonicalize().ok()? {
        return None;
    }
    watch_head();
    let commit = git(&["rev-parse", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    let changed = !git(&status)?.is_empty();
    Some(if changed { commit + "+" } else { commit })
}

/// Asks for a new run when the checked-out commit changes: HEAD (another branch), the branch's own file (a commit), and
/// the packed refs that stand in for it. The index is left out: staging does not change what is built, and watching it
/// would build again after every `git add`. A path that does not exist would make cargo run this every time.
fn watch_head() {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    for name in names {
        // `--git-path` knows which files a linked worktree shares.
        if let Some(path) = git(&["rev-parse", "--git-path", name]) {
            // A branch whose file is packed away gets one with its next commit: until then its folder is watched.
            let existing = Path::new(&path).ancestors().find(|path| path.exists());
            if let Some(path) = existing.filter(|path| name != "packed-refs" || path.is_file()) {
                println!("cargo::rerun-if-changed={}", path.display());
            }
        }
    }
}

/// Git's answer. Optional locks off: `status` would otherwise write the index while the user works with git.
fn git(arguments: &[&str]) -> Option<String> {
    output(Command::new("git").arg("--no-optional-locks").args(arguments))
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_string())
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn set(name: &str, value: &str) {
    // A line feed would end cargo's instruction.
    println!("cargo::rustc-env={name}={}", value.replace('\n', " "));
}
