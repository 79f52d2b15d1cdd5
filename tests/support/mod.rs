//! What test files share.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

pub mod browser;
pub mod cli;
pub mod fashion_mnist;
pub mod probed;
pub mod records;
pub mod searched;
pub mod stand_in;

/// Whether a test may go on. A tool that this machine lacks skips the test, unless `TILELAB_REQUIRE_ALL=1`.
pub fn needs(tool: &str, found: bool) -> bool {
    if !found {
        assert!(
            std::env::var("TILELAB_REQUIRE_ALL").as_deref() != Ok("1"),
            "needs {tool}, and TILELAB_REQUIRE_ALL=1"
        );
        println!("skipped: needs {tool}");
    }
    found
}
