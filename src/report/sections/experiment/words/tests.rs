//! No finding is without words.

use super::*;

/// Every variant has words of its own, with its figures in them. A new one without words is found by the last arm's text.
#[test]
fn every_finding_has_its_sentence() {
    let (a, b) = (0.25, 0.75);
    let (best, next) = ("tanh".to_owned(), "relu".to_owned());
    let learned = |near| Finding::Learned {
        train_loss: a,
        test_acc: b,
        near,
    };
    let rate = |unstable| Finding::BestRate {
        lr: 0.5,
        test_acc: b,
        unstable,
        lost: (2, 3),
    };
    let sharpness = |flatter| {
        Some(Sharpness {
            flatter,
            small: a,
            large: b,
            errors: 4.5,
        })
    };
    let updates = |sharpness| Finding::UpdatesMatter {
        small: b,
        large: a,
        large_at_equal_updates: b,
        sharpness,
    };
    let gain = SplitGain {
        name: "rows, 2 workers".into(),
        gain: 1.5,
        range: (1.25, 1.75),
        threaded: 1.875,
        cores: 2,
    };
    let findings = [
        Finding::ChecksFailed {
            failed: vec!["37".into()],
        },
        Finding::DerivativesHold {
            activations: 12,
            error_over_bound: a,
        },
        Finding::SoftmaxStable {
            overflows_from: 89.0,
            ulps: 1.0,
        },
        Finding::SigmoidIsTanh {
            ulps: 1.0,
            network_error: 1e-16,
        },
        Finding::LinearCollapses {
            error: 1e-16,
            bottleneck_rank: 2,
            layer_rank: 3,
        },
        Finding::PiecewiseLinear { pieces: 9, regions: 80 },
        Finding::BatchNormDepends {
            single: 0.0,
            first: -1.0,
            second: 1.0,
        },
        Finding::GradientsVanish {
            sigmoid: 1e-6,
            tanh: a,
            relu: b,
        },
        Finding::GradientsSurvive { sigmoid: a },
        Finding::GradientsAgree {
            parameters: 39,
            error: 1e-10,
        },
        Finding::FootprintReconciled {
            formula: 11_380,
            listed: 11_440,
            held_over_listed: 1.5,
        },
        learned(None),
        learned(Some(true)),
        learned(Some(false)),
        Finding::LinearFails { linear: a, hidden: b },
        Finding::LinearSuffices { linear: a, hidden: b },
        Finding::UnitsDie {
            relu: b,
            lr: 1.0,
            leaky: 0.0,
        },
        Finding::NoUnitDies,
        Finding::WiderIsBetter {
            units: (64, 512),
            test_acc: (a, b),
            times: 4.5,
        },
        Finding::WiderIsNoBetter {
            units: (64, 512),
            test_acc: (a, b),
        },
        Finding::DepthStalls {
            hidden: 4,
            he_train_loss: a,
        },
        Finding::DepthLearns { train_loss: a },
        Finding::NeuronLimits {
            one: a,
            control: b,
            classes: 4,
        },
        Finding::NeuronIsEnough { one: a, control: b },
        rate(None),
        rate(Some(1.0)),
        Finding::InitMatters {
            best: b,
            name: "he-uniform".into(),
            zeros: a,
            one_step_deviation: a,
        },
        Finding::InitMakesNoDifference { gap: a },
        Finding::HessianIsPower {
            seconds: a,
            bytes: b,
            fits: 70_000,
        },
        Finding::HessianIsNoPower { bytes: b },
        Finding::SearchesDiffer {
            trials: (5, 10),
            test_acc: (a, b),
        },
        Finding::SearchesAgree {
            trials: (5, 10),
            test_acc: (a, b),
        },
        Finding::OrderIsReal {
            best: best.clone(),
            next: next.clone(),
            gap: a,
            error: b,
        },
        Finding::OrderIsNoise {
            best,
            next,
            gap: a,
            error: b,
        },
        updates(None),
        updates(sharpness(Flatter::Small)),
        updates(sharpness(Flatter::Large)),
        updates(sharpness(Flatter::Noise)),
        Finding::BatchMatters {
            small: b,
            large_at_equal_updates: a,
            sharpness: sharpness(Flatter::Noise),
        },
        Finding::SplitIsFaster(gain.clone()),
        Finding::SplitIsEven(gain.clone()),
        Finding::SplitIsSlower(gain),
        Finding::ScratchIsSlower {
            times: (2.5, 3.5),
            f64_over_f32: 1.75,
        },
        Finding::ScratchIsAsFast { times: (0.5, 1.5) },
        Finding::AlignmentCosts {
            ours: b,
            case: "1025 cubed".into(),
            peer: a,
        },
        Finding::AlignmentIsFree { ours: b },
        Finding::BusKnown {
            width_bits: 128,
            gbps: 25.5,
        },
        Finding::BusUnknown {
            reason: "no tables".into(),
            gbps: 25.5,
        },
    ];
    let mut seen = std::collections::BTreeSet::new();
    for finding in &findings {
        let (tone, text) = sentence(finding);
        assert!(
            text.ends_with('.') && !text.contains("no words for"),
            "{finding:?}: {text}"
        );
        assert_eq!(
            tone == Tone::Bad,
            matches!(finding, Finding::ChecksFailed { .. }) || *finding == learned(Some(false))
        );
        assert!(seen.insert(text), "{finding:?} says what another says");
        let json = serde_json::to_string(finding).unwrap();
        assert_eq!(serde_json::from_str::<Finding>(&json).unwrap(), *finding);
    }
}
