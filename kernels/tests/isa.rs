//! (f) A forced ISA is used or refused, never replaced in silence.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use tilelab_kernels::{Context, ContextError, Isa, Threads};

#[test]
fn a_missing_isa_is_an_error_that_names_what_there_is() {
    for isa in Isa::ALL {
        match Context::new(isa, Threads::one()) {
            Ok(ctx) => assert!(ctx.isa() == isa && isa.is_available()),
            Err(error) => {
                assert!(!isa.is_available());
                let line = error.to_string();
                assert!(
                    line.contains(isa.id()) && line.contains("portable") && !line.contains('\n'),
                    "{line}"
                );
            }
        }
    }
    assert_eq!("avx9".parse::<Isa>(), Err(ContextError::UnknownIsa("avx9".into())));
}

/// Runs this very test program again, so that the variable is set for a whole process.
#[test]
fn the_variable_is_honoured_by_a_whole_process() {
    for isa in Isa::ALL {
        let ran = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "selected_is_what_the_variable_says", "--nocapture"])
            .env("TILELAB_ISA", isa.id())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        if isa.is_available() {
            assert!(said.contains(&format!("selected {isa}\n")), "{said}");
        } else {
            assert!(said.contains("can't run ISA"), "{said}");
            println!("skipped: needs a CPU with {isa}");
        }
    }
}

#[test]
fn selected_is_what_the_variable_says() {
    match Isa::selected() {
        Ok(isa) => println!("selected {isa}"),
        Err(error) => println!("refused: {error}"),
    }
    if let Ok(forced) = std::env::var("TILELAB_ISA") {
        let isa: Isa = forced.parse().unwrap();
        assert_eq!(Isa::selected().is_ok(), isa.is_available());
    }
}

#[test]
fn threads_out_of_range_are_refused() {
    assert_eq!(Threads::new(0), Err(ContextError::Threads(0)));
    assert!(Threads::new(Threads::MAX + 1).is_err());
    assert_eq!(Threads::new(3).map(Threads::get), Ok(3));
}
