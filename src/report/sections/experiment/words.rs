//! What an experiment found, in a sentence.

use crate::measure::{Experiment, Finding};
use crate::report::format::{count, number, percent};

use super::super::{Tone, Verdict};

/// The verdict: the finding's sentence.
pub fn verdict(experiment: &Experiment) -> Verdict {
    let (tone, text) = sentence(&experiment.finding);
    Verdict::new(tone, text)
}

/// How a finding is to be taken, and what it says.
pub fn sentence(finding: &Finding) -> (Tone, String) {
    if let Finding::ChecksFailed { failed } = finding {
        return (Tone::Bad, format!("What must hold does not: {}.", failed.join("; ")));
    }
    exact(finding)
        .map(|text| (Tone::Good, text))
        .or_else(|| trained(finding))
        .or_else(|| measured(finding).map(|text| (Tone::Plain, text)))
        .unwrap_or_else(|| (Tone::Plain, "A finding that this version has no words for.".to_owned()))
}

/// Questions that have a right answer.
fn exact(finding: &Finding) -> Option<String> {
    Some(match finding {
        Finding::DerivativesHold {
            activations,
            error_over_bound,
        } => format!(
            "All {activations} derivatives are the slopes of their functions, within {} of a central difference's bound.",
            number(*error_over_bound)
        ),
        Finding::SoftmaxStable { overflows_from, ulps } => format!(
            "Without subtracting the maximum, rows with logits up to {} are lost to NaN; with it none is. Two classes give one logit's loss to {} ulp of the logit.",
            number(*overflows_from),
            number(*ulps)
        ),
        Finding::SigmoidIsTanh { ulps, network_error } => format!(
            "tanh(x) + 1 and 2 sigmoid(2x) differ by at most {} ulp of 1, and a sigmoid network rewritten with tanh by {}: they are one family.",
            number(*ulps),
            number(*network_error)
        ),
        Finding::LinearCollapses {
            error,
            bottleneck_rank,
            layer_rank,
        } => format!(
            "A deep linear network is one layer, to {}; with a bottleneck of two units it is less: rank {bottleneck_rank} against {layer_rank}.",
            number(*error)
        ),
        Finding::PiecewiseLinear { pieces, regions } => format!(
            "It is: {pieces} straight pieces along the line, meeting where they end, and {regions} linear regions on the plane."
        ),
        Finding::BatchNormDepends { single, first, second } => format!(
            "A batch of one becomes {}: nothing is left of it. The same sample becomes {} in one batch and {} in another.",
            number(*single),
            number(*first),
            number(*second)
        ),
        Finding::GradientsAgree { parameters, error } => format!(
            "The equations' gradients of all {} numbers equal central differences, to {}.",
            count(*parameters as u64),
            number(*error)
        ),
        Finding::FootprintReconciled {
            formula,
            listed,
            held_over_listed,
        } => format!(
            "Training takes {} numbers by the notebook's formula and {} by its own list; the device holds {} times the list's bytes at the widest network.",
            count(*formula),
            count(*listed),
            number(*held_over_listed)
        ),
        _ => return None,
    })
}

/// What training showed.
fn trained(finding: &Finding) -> Option<(Tone, String)> {
    let text = match finding {
        Finding::Learned {
            train_loss,
            test_acc,
            near,
        } => {
            let (tone, told) = match near {
                Some(true) => (Tone::Good, " It ends where the notebook's run does."),
                Some(false) => (Tone::Bad, " It does not end where the notebook's run does."),
                None => (Tone::Plain, ""),
            };
            let (loss, acc) = (number(*train_loss), percent(*test_acc));
            return Some((
                tone,
                format!("The network learns: train loss {loss}, test accuracy {acc}.{told}"),
            ));
        }
        Finding::GradientsVanish { sigmoid, tanh, relu } => format!(
            "Through eight hidden layers the first layer's gradient is {} of the last's with sigmoid, {} with tanh and {} with relu.",
            number(*sigmoid),
            number(*tanh),
            number(*relu)
        ),
        Finding::GradientsSurvive { sigmoid } => format!(
            "Sigmoid did not make gradients vanish here: the first layer's is {} of the last's.",
            number(*sigmoid)
        ),
        Finding::LinearFails { linear, hidden } => format!(
            "Shown images of both polarities, a linear model is right on {} of them, a hidden layer on {}: one weight a pixel can't be right for an image and its negative.",
            percent(*linear),
            percent(*hidden)
        ),
        Finding::LinearSuffices { linear, hidden } => format!(
            "The linear model keeps up: right on {}, the hidden layer on {}.",
            percent(*linear),
            percent(*hidden)
        ),
        Finding::UnitsDie { relu, lr, leaky } => format!(
            "Relu units die: up to {} of them, at a learning rate of {}. With leaky relu and prelu {} do.",
            percent(*relu),
            number(*lr),
            percent(*leaky)
        ),
        Finding::NoUnitDies => "No unit died at any learning rate.".to_owned(),
        Finding::WiderIsBetter { units, test_acc, times } => format!(
            "Wider is better: {} units are right on {}, {} on {}, in {} times the time.",
            units.1,
            percent(test_acc.1),
            units.0,
            percent(test_acc.0),
            number(*times)
        ),
        Finding::WiderIsNoBetter { units, test_acc } => format!(
            "Wider is no better here: {} units are right on {}, {} on {}.",
            units.1,
            percent(test_acc.1),
            units.0,
            percent(test_acc.0)
        ),
        Finding::DepthStalls { hidden, he_train_loss } => format!(
            "From {hidden} hidden layers on, weights of sigma 0.01 never leave the loss of guessing. That is no overfitting: from He's weights the deepest network reaches a train loss of {}.",
            number(*he_train_loss)
        ),
        Finding::DepthLearns { train_loss } => format!(
            "Every depth learns from sigma 0.01; the deepest ends at a train loss of {}.",
            number(*train_loss)
        ),
        Finding::NeuronLimits { one, control, classes } => format!(
            "Through a single unit the network is right on {}, with 256 on {}: all it can do is cut one half-line into intervals, which reach {classes} of the 10 classes.",
            percent(*one),
            percent(*control)
        ),
        Finding::NeuronIsEnough { one, control } => format!(
            "A single unit is enough here: right on {}, with 256 on {}.",
            percent(*one),
            percent(*control)
        ),
        Finding::BestRate { lr, test_acc, unstable } => {
            let beyond = unstable.map_or(" Every rate learned something.".to_owned(), |lr| {
                format!(" At {} training comes to nothing.", number(lr))
            });
            format!(
                "The best rate is {}, right on {}.{beyond}",
                number(*lr),
                percent(*test_acc)
            )
        }
        Finding::HessianIsPower { seconds, bytes, fits } => format!(
            "A Hessian's cost is a power of the number of parameters: exponent {} for its seconds, {} for its bytes, and nothing exponential. At {} parameters the dense matrix fills this machine's free memory.",
            number(*seconds),
            number(*bytes),
            count(*fits)
        ),
        Finding::HessianIsNoPower { bytes } => format!(
            "A Hessian's bytes do not grow as a power of the number of parameters here, though {} was fitted as the exponent.",
            number(*bytes)
        ),
        Finding::SearchesDiffer { trials, test_acc } => format!(
            "The best of {} random trials is right on {}, of {} by TPE on {}: chosen on rows held back, tested once.",
            trials.0,
            percent(test_acc.0),
            trials.1,
            percent(test_acc.1)
        ),
        Finding::SearchesAgree { trials, test_acc } => format!(
            "{} random trials and {} by TPE end alike: the best of each is right on {} and {}, chosen on rows held back, tested once.",
            trials.0,
            trials.1,
            percent(test_acc.0),
            percent(test_acc.1)
        ),
        Finding::InitMatters {
            best,
            name,
            zeros,
            one_step_deviation,
        } => format!(
            "It matters: {name} is right on {}, zeros on {}. One step, as in the notebook, can't tell: seeds alone spread it by {}.",
            percent(*best),
            percent(*zeros),
            percent(*one_step_deviation)
        ),
        Finding::InitMakesNoDifference { gap } => {
            format!(
                "It makes no difference here: best and worst lie {} apart.",
                percent(*gap)
            )
        }
        Finding::OrderIsReal { best, next, gap, error } => format!(
            "{best} is best, {} above {next}, with a standard error of {}: more than noise.",
            percent(*gap),
            percent(*error)
        ),
        Finding::OrderIsNoise { best, next, gap, error } => format!(
            "{best} comes out {} above {next}, with a standard error of {}: noise. One run each, as in the notebook, can't order them.",
            percent(*gap),
            percent(*error)
        ),
        Finding::UpdatesMatter {
            small,
            large,
            large_at_equal_updates,
        } => format!(
            "At equal epochs the largest batch is right on {}, the smallest on {}; at equal updates the largest reaches {}: it lacked updates.",
            percent(*large),
            percent(*small),
            percent(*large_at_equal_updates)
        ),
        Finding::BatchMatters {
            small,
            large_at_equal_updates,
        } => format!(
            "Even at equal updates the largest batch stays behind: {} against {}.",
            percent(*large_at_equal_updates),
            percent(*small)
        ),
        _ => return None,
    };
    Some((Tone::Plain, text))
}

/// What clocks showed.
fn measured(finding: &Finding) -> Option<String> {
    Some(match finding {
        Finding::ScratchIsSlower { times, f64_over_f32 } => format!(
            "Plain code takes {} times as long as ours on the smallest network and {} times on the largest; in f64, as in the notebook, it takes {} times what it takes in f32.",
            number(times.0),
            number(times.1),
            number(*f64_over_f32)
        ),
        Finding::ScratchIsAsFast { times } => format!(
            "Plain code keeps up: {} and {} times our time on the smallest and largest network.",
            number(times.0),
            number(times.1)
        ),
        Finding::AlignmentCosts { ours, case, peer } => format!(
            "The dearest case for us is {case}: {} of the aligned rate; the gemm crate falls to {} at its dearest.",
            percent(*ours),
            percent(*peer)
        ),
        Finding::AlignmentIsFree { ours } => format!(
            "Nothing that could be told from noise: our slowest case has {} of the aligned rate.",
            percent(*ours)
        ),
        Finding::BusKnown { width_bits, gbps } => {
            format!(
                "The memory bus is {width_bits} bits wide and carries {} GB/s.",
                number(*gbps)
            )
        }
        Finding::BusUnknown { reason, gbps } => format!(
            "The bus's width is not known ({reason}); {} GB/s were measured over it.",
            number(*gbps)
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
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
            Finding::UpdatesMatter {
                small: b,
                large: a,
                large_at_equal_updates: b,
            },
            Finding::BatchMatters {
                small: b,
                large_at_equal_updates: a,
            },
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
}
