//! Kernels of the suite, from their committed PTX, give what their f64 formula gives, and a barrier taken out is found.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tilelab_ptxsim::{Arg, Launch, Machine, Module, Options};

fn ptx(name: &str) -> String {
    let path = format!("{}/../../kernels/ptx/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn numbers(count: usize, step: f32) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * step).sin() * 3.0).collect()
}

#[test]
fn sgd_moves_the_weights() {
    let module = Module::parse(&ptx("update.compute_75.ptx")).unwrap();
    for n in [1usize, 255, 1000] {
        let mut machine = Machine::new(Options::default());
        let (gradient, weights) = (numbers(n, 0.7), numbers(n, 0.3));
        let (decay, lr) = (0.99f32, 0.1f32);
        let [d, l] = [decay, lr].map(|value| machine.upload(&[value]));
        let (g, w) = (machine.upload(&gradient), machine.upload(&weights));
        let args: [Arg; 5] = [(n as u64).into(), d.into(), l.into(), g.into(), w.into()];
        machine
            .launch(&module, "sgd", Launch::new([2, 1, 1], [256, 1, 1]), &args)
            .unwrap();
        for (i, &got) in machine.download::<f32>(w, n).unwrap().iter().enumerate() {
            let want = f64::from(decay) * f64::from(weights[i]) - f64::from(lr) * f64::from(gradient[i]);
            assert!(
                (f64::from(got) - want).abs() <= 1e-6,
                "n {n}, element {i}: {got}, {want}"
            );
        }
    }
}

/// Rows of n columns through a softmax kernel: the largest difference from f64, or the finding.
fn softmax(module: &Module, kernel: &str, threads: u32, n: usize) -> Result<f64, String> {
    const ROWS: usize = 5;
    let mut machine = Machine::new(Options::default());
    let x = numbers(ROWS * n, 0.37);
    let source = machine.upload(&x);
    let out = machine.alloc((ROWS * n * 4) as u64);
    let args: [Arg; 4] = [(ROWS as u32).into(), (n as u32).into(), source.into(), out.into()];
    let launch = Launch::new([ROWS as u32, 1, 1], [threads, 1, 1]);
    machine
        .launch(module, kernel, launch, &args)
        .map_err(|finding| finding.to_string())?;
    let got = machine
        .download::<f32>(out, ROWS * n)
        .map_err(|finding| finding.to_string())?;
    let mut largest = 0.0f64;
    for (x, got) in x.chunks(n).zip(got.chunks(n)) {
        let sum: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
        for (&x, &got) in x.iter().zip(got) {
            let difference = (f64::from(got) - f64::from(x).exp() / sum).abs();
            // A NaN must not be passed over.
            largest = if difference <= largest { largest } else { difference };
        }
    }
    Ok(largest)
}

#[test]
fn softmax_agrees_and_a_missing_barrier_is_found() {
    let text = ptx("softmax.compute_75.ptx");
    let module = Module::parse(&text).unwrap();
    for n in [1, 10, 33, 300] {
        for (kernel, threads) in [("softmax_warp", 128), ("softmax_block", 256)] {
            let largest = softmax(&module, kernel, threads, n).unwrap();
            assert!(largest <= 1e-6, "{kernel}, {n} columns: off by {largest}");
        }
    }
    let begins = text.find(".entry softmax_block(").unwrap();
    let (before, kernel) = text.split_at(begins);
    let barrier = kernel.find("bar.sync").unwrap();
    let ends = barrier + kernel[barrier..].find(';').unwrap() + 1;
    let broken = Module::parse(&format!("{before}{}{}", &kernel[..barrier], &kernel[ends..])).unwrap();
    let finding = softmax(&broken, "softmax_block", 256, 300).unwrap_err();
    // By the order of the warps: a read that nothing orders behind the write, or one that comes before it.
    assert!(
        finding.starts_with("Race") || finding.starts_with("Unwritten"),
        "{finding}"
    );
}
