//! How a matrix product becomes fast, step by step: each a small function, checked against the oracle, timed in turns.
//!
//! ```text
//! cargo run --release -p tilelab-kernels --example ladder [-- --size 1000 --rounds 9 --markdown]
//! ```
//! `docs/gemm.md` explains the steps; its table is what this prints with `--markdown`.

mod loops;
mod problem;
mod rounds;
mod tiles;
mod vectors;

use std::process::ExitCode;

use problem::Problem;
use tilelab_kernels::{Context, Epilogue, Isa, MatMut, MatRef, ShapeError, Threads};

/// A step: C <- A B in its own way.
struct Step {
    name: &'static str,
    run: fn(&Problem, &mut [f32]),
}

/// From the formula to the kernel that users call.
const STEPS: [Step; 8] = [
    Step {
        name: "naive: i, j, p",
        run: loops::naive,
    },
    Step {
        name: "loop order: i, p, j",
        run: loops::loop_order,
    },
    Step {
        name: "cache blocks",
        run: loops::cache_blocks,
    },
    Step {
        name: "packed B",
        run: loops::packing,
    },
    Step {
        name: "register tile, portable",
        run: tiles::register_tile,
    },
    Step {
        name: "FMA tile",
        run: vectors::fma_tile,
    },
    Step {
        name: "prefetch of C",
        run: vectors::prefetch,
    },
    Step {
        name: "Context::gemm",
        run: whole,
    },
];

/// All of it: what the ladder leaves out is in docs/gemm.md.
fn whole(x: &Problem, c: &mut [f32]) {
    let run = |c| -> Result<(), ShapeError> {
        let (a, b) = (MatRef::row_major(&x.a, x.m, x.k)?, MatRef::row_major(&x.b, x.k, x.n)?);
        x.ctx
            .gemm(1.0, a, b, 0.0, MatMut::row_major(c, x.m, x.n)?, Epilogue::none())
    };
    let done = run(c);
    assert!(done.is_ok(), "operands are made with their shape: {done:?}");
}

/// What the user typed.
struct Args {
    size: usize,
    rounds: usize,
    markdown: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args {
        size: 1000,
        rounds: 9,
        markdown: false,
    };
    while let Some(word) = words.next() {
        let mut number = |most: usize| {
            let value = words.next().unwrap_or_default();
            match value.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ => Err(format!("{word} takes a whole number from 1 to {most}, not {value:?}")),
            }
        };
        match word.as_str() {
            "--size" => args.size = number(4096)?,
            "--rounds" => args.rounds = number(1000)?,
            "--markdown" => args.markdown = true,
            _ => {
                return Err(format!(
                    "{word:?} is unknown; there are --size N, --rounds N and --markdown"
                ));
            }
        }
    }
    Ok(args)
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::from(2);
        }
    };
    match climb(&args) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn climb(args: &Args) -> Result<String, Box<dyn std::error::Error>> {
    let ctx = Context::new(Isa::selected()?, Threads::one())?;
    let problem = Problem::new((args.size, args.size, args.size), &ctx);
    let rungs = rounds::time(&problem, &STEPS, args.rounds)?;
    Ok(if args.markdown { rungs.markdown() } else { rungs.text() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn every_step_is_right_on_every_isa_and_on_every_edge() {
        for isa in Isa::available() {
            let ctx = Context::new(isa, Threads::one()).unwrap();
            // One element, inside a tile, off every tile, and beyond one block of both kinds.
            for shape in [(1, 1, 1), (5, 7, 3), (33, 65, 40), (29, 530, 300), (47, 70, 600)] {
                let problem = Problem::new(shape, &ctx);
                let answer = problem.answer().unwrap();
                for step in &STEPS {
                    let mut c = vec![f32::NAN; shape.0 * shape.1];
                    (step.run)(&problem, &mut c);
                    let error = problem.error_over_bound(&c, &answer);
                    assert!(error <= 1.0, "{} on {isa} at {shape:?}: {error}", step.name);
                    let last = c.len() - 1;
                    c[last] += 0.1;
                    assert!(problem.error_over_bound(&c, &answer) > 1.0, "a wrong element passed");
                    c[last] = f32::NAN;
                    assert!(problem.error_over_bound(&c, &answer).is_nan(), "a NaN passed");
                }
            }
        }
    }

    #[test]
    fn the_table_has_a_line_a_step_and_compares_with_the_step_before() {
        let ctx = Context::new(Isa::available()[0], Threads::one()).unwrap();
        let rungs = rounds::time(&Problem::new((48, 48, 48), &ctx), &STEPS, 3).unwrap();
        let lines = rungs.markdown();
        for step in &STEPS {
            assert!(lines.contains(&format!("| {} |", step.name)), "{lines}");
        }
        assert_eq!(
            lines.lines().filter(|line| line.ends_with("x |")).count(),
            STEPS.len() - 1
        );
    }

    #[test]
    fn a_step_that_computes_something_else_is_not_timed() {
        let ctx = Context::new(Isa::available()[0], Threads::one()).unwrap();
        let wrong = Step {
            name: "wrong",
            run: |_, c| c.fill(0.5),
        };
        let told = rounds::time(&Problem::new((4, 4, 4), &ctx), &[wrong], 1).err().unwrap();
        assert!(told.to_string().starts_with("wrong: "), "{told}");
    }

    #[test]
    fn what_is_typed_wrong_is_named() {
        let told = |words: &[&str]| parse(words.iter().map(|&word| word.to_owned())).err().unwrap();
        assert!(told(&["--size", "0"]).contains("--size") && told(&["--rounds"]).contains("--rounds"));
        assert!(told(&["--fast"]).contains("--fast"));
    }
}
