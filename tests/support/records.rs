//! Records of every kind, made up.

use tilelab::measure::*;

/// A record round a body.
pub fn record(name: &str, title: &str, body: Body) -> Record {
    Record {
        schema: SCHEMA,
        name: name.to_owned(),
        title: title.to_owned(),
        question: "Does this made-up record look right?".to_owned(),
        quick: true,
        started_unix_s: 1_790_000_000,
        elapsed_s: 41.3,
        command: format!("tilelab {name} --seed 1"),
        build: Build {
            version: "0.1.0".to_owned(),
            commit: "0123456789ab+".to_owned(),
            rustc: "rustc 1.95.0".to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            profile: "release".to_owned(),
            rustflags: String::new(),
        },
        machine: machine(),
        body,
    }
}

/// A machine.
pub fn machine() -> Machine {
    let cache = |level, kind: &str, bytes, ways, shared_by| Cache {
        level,
        kind: kind.to_owned(),
        bytes,
        line_bytes: 64,
        ways: Some(ways),
        shared_by: Some(shared_by),
    };
    Machine {
        cpu: "Example CPU 9000 @ 2.60GHz".to_owned(),
        family_model_stepping: Some((6, 106, 6)),
        cores: 1,
        cpus: 2,
        isas: ["avx512", "avx2", "portable"].map(str::to_owned).into(),
        caches: vec![
            cache(1, "data", 48 << 10, 12, 2),
            cache(2, "unified", 5 << 18, 20, 2),
            cache(3, "unified", 54 << 20, 12, 64),
        ],
        memory_bytes: 8 << 30,
        os: "Linux 6.1".to_owned(),
        hypervisor: Some("KVM".to_owned()),
    }
}

/// A bench of two contestants.
pub fn bench() -> Bench {
    let ours = [60.8, 52.4, 57.9, 59.7, 61.2];
    let theirs = [58.3, 55.1, 56.2, 57.8, 58.0];
    let sizes = [1024u32, 1025, 1026, 1028, 1032];
    let cases = sizes.iter().enumerate().map(|(at, &size)| {
        let work = 2.0 * f64::from(size).powi(3);
        let result = |name: &str, rate: f64, peer: &str, peer_rate: f64| {
            let median_ns = work / rate;
            CaseResult {
                contestant: name.to_owned(),
                samples: 10,
                median_ns,
                min_ns: median_ns * 0.97,
                interval_ns: (median_ns * 0.985, median_ns * 1.03),
                rate,
                percent_of_peak: rate / 0.665,
                ratios: vec![Ratio {
                    peer: peer.to_owned(),
                    median: rate / peer_rate,
                    interval: (rate / peer_rate - 0.012, rate / peer_rate + 0.016),
                }],
                error_over_bound: 0.0123,
            }
        };
        Case {
            name: format!("{size} cubed"),
            x: f64::from(size),
            work,
            results: vec![
                result("sgemm-avx2-6x16", ours[at], "gemm-crate", theirs[at]),
                result("gemm-crate", theirs[at], "sgemm-avx2-6x16", ours[at]),
            ],
        }
    });
    let rounds = sizes
        .iter()
        .flat_map(|size| (0..12).map(move |round| (size, round)))
        .map(|(size, round)| Round {
            case: format!("{size} cubed"),
            round,
            at_s: f64::from(round),
            steal: Some(f64::from(round) * 0.002),
            load: Some(1.02),
            peak_gflops: 66.1 - f64::from(round) * 0.1,
            cache_gbs: None,
            dropped: (round == 11).then(|| "steal above 2 %".to_owned()),
        });
    let samples = (0..60).map(|round| Sample {
        case: "1024 cubed".to_owned(),
        contestant: "gemm-crate".to_owned(),
        launch: 0,
        round,
        place: round % 2,
        calls: 1,
        elapsed_ns: 36_000_000,
    });
    let (threads, unit, peak_gflops) = (1, "flop".to_owned(), 66.5);
    let notes = Vec::new();
    Bench {
        comparisons: Vec::new(),
        notes,
        threads,
        unit,
        peak_gflops,
        cases: cases.collect(),
        rounds: rounds.collect(),
        samples: samples.collect(),
    }
}

/// Ten epochs of the notebook's run.
pub fn training() -> Training {
    const FIGURES: [[f64; 4]; 10] = [
        [1.0427, 0.6936, 0.763, 0.7563],
        [0.6027, 0.6305, 0.7783, 0.762],
        [0.5181, 0.5358, 0.8226, 0.8103],
        [0.4813, 0.4808, 0.8442, 0.8319],
        [0.4534, 0.4881, 0.8367, 0.8248],
        [0.433, 0.4814, 0.8413, 0.8264],
        [0.4163, 0.4616, 0.8539, 0.8413],
        [0.404, 0.4431, 0.8578, 0.8416],
        [0.3904, 0.4165, 0.8692, 0.8508],
        [0.3818, 0.4551, 0.847, 0.8327],
    ];
    let epochs = FIGURES
        .iter()
        .zip(1..)
        .map(|(&[train_loss, test_loss, train_acc, test_acc], epoch)| Epoch {
            epoch,
            train_loss,
            test_loss,
            train_acc,
            test_acc,
            validation_loss: None,
            validation_acc: None,
            seconds: 1.21,
            samples_per_s: 71_234.0,
            layers: Vec::new(),
        });
    Training {
        layers: vec![784, 256, 10],
        settings: [("lr", "0.1"), ("batch", "256"), ("init", "normal:0.01")]
            .map(|(a, b)| (a.into(), b.into()))
            .into(),
        device: "cpu".to_owned(),
        kernel: "sgemm-avx2-6x16".to_owned(),
        threads: 2,
        seed: 1,
        data: "the copy embedded in the program".to_owned(),
        train_rows: 10_000,
        test_rows: 2_000,
        parameters: 203_530,
        first_loss: 2.3027,
        epochs: epochs.collect(),
        classification: None,
    }
}

/// Checks of a few kernels on two ISAs.
pub fn self_test() -> SelfTest {
    let kernels = [
        "gemm",
        "relu",
        "softmax",
        "log-softmax",
        "cross-entropy",
        "column-sum",
        "sgd",
    ];
    let checks = ["avx2", "portable"]
        .iter()
        .flat_map(|isa| kernels.iter().map(move |kernel| (isa, kernel)));
    let checks = checks.zip(1..).map(|((isa, kernel), number)| Check {
        kernel: format!("{kernel}-{isa}"),
        isa: (*isa).to_owned(),
        cases: 100 * number,
        error_over_bound: 0.02 * number as f64,
        passed: true,
    });
    SelfTest {
        checks: checks.collect(),
    }
}

/// One record of every kind.
pub fn every_kind() -> Vec<Record> {
    vec![
        record("self-test", "Self-test of the kernels", Body::SelfTest(self_test())),
        record("gemm-alignment", "Matrix product near 1024", Body::Bench(bench())),
        record("train-mlp", "Ten epochs of 784-256-10", Body::Training(training())),
        record(
            "probe",
            "The memory system",
            Body::Probe(Box::new(super::probed::probe())),
        ),
    ]
}

/// A record in which every text is an attempt to break out.
pub fn hostile() -> Record {
    let text = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\" onload=\"alert(3)' ]]> <!-- &amp; \0 \u{2028}";
    let mut record = record(text, text, Body::Training(training()));
    record.question = text.to_owned();
    record.command = text.to_owned();
    record.machine.cpu = text.to_owned();
    record.build.commit = text.to_owned();
    let mut bench = bench();
    bench.rounds[0].dropped = Some(text.to_owned());
    bench.unit = text.to_owned();
    for case in &mut bench.cases {
        case.name = text.to_owned();
        case.results[0].contestant = text.to_owned();
        case.results[0].ratios[0].peer = text.to_owned();
    }
    record.body = Body::Bench(bench);
    record
}
