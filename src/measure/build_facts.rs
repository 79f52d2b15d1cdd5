//! Facts of the build, from the environment that the package's `build.rs` leaves to the compiler.

use super::Build;

impl Build {
    /// The build that this program comes from; a fact that nobody recorded is empty.
    pub fn current() -> Self {
        // option_env! and not env!: sources compiled without the build script (a packager, an IDE) still compile.
        let fact = |value: Option<&str>| value.unwrap_or_default().to_owned();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: fact(option_env!("TILELAB_COMMIT")),
            rustc: fact(option_env!("TILELAB_RUSTC")),
            target: fact(option_env!("TILELAB_TARGET")),
            profile: fact(option_env!("TILELAB_PROFILE")),
            rustflags: fact(option_env!("TILELAB_RUSTFLAGS")),
        }
    }
}
