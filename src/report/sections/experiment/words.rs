//! What an experiment found, in a sentence.

use crate::measure::{Experiment, Finding, Flatter, Sharpness, SplitGain};
use crate::report::format::{count, number, percent, plural};

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
        Finding::BestRate {
            lr,
            test_acc,
            unstable,
            lost,
        } => {
            // Records from before seeds were counted have none.
            let seeds = match lost {
                (_, 0) => String::new(),
                (lost, all) => format!(" with {lost} of {}", plural(*all, "seed")),
            };
            let beyond = unstable.map_or(" No larger rate came to nothing.".to_owned(), |lr| {
                format!(" At {} training came to nothing{seeds}.", number(lr))
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
            sharpness,
        } => format!(
            "At equal epochs the largest batch is right on {}, the smallest on {}; at equal updates the largest reaches {}: it lacked updates.{}",
            percent(*large),
            percent(*small),
            percent(*large_at_equal_updates),
            curvature(sharpness.as_ref())
        ),
        Finding::BatchMatters {
            small,
            large_at_equal_updates,
            sharpness,
        } => format!(
            "Even at equal updates the largest batch stays behind: {} against {}.{}",
            percent(*large_at_equal_updates),
            percent(*small),
            curvature(sharpness.as_ref())
        ),
        _ => return None,
    };
    Some((Tone::Plain, text))
}

/// Where batches end, as a sentence that follows another.
fn curvature(sharpness: Option<&Sharpness>) -> String {
    let Some(Sharpness {
        flatter,
        small,
        large,
        errors,
    }) = sharpness
    else {
        return String::new();
    };
    let (small, large, errors) = (number(*small), number(*large), number(*errors));
    let tops = format!("the Hessian's top eigenvalue is {small} there and {large} behind the largest");
    let told = match flatter {
        Flatter::Small => "is at a flatter place",
        Flatter::Large => "is at a sharper place, not a flatter one",
        Flatter::Noise => "is no flatter or sharper than the seeds' noise",
    };
    format!(" At equal test loss the smallest batch {told}: {tops}, {errors} standard errors apart.")
}

/// What the fastest split gains.
fn split(gain: &SplitGain, told: &str) -> String {
    format!(
        "Every split learns what the whole does. The fastest, {}, {told}: it runs at {} times the speed of the whole on one thread ({} to {} over the rounds), on {}; the whole on all threads at {} times.",
        gain.name,
        number(gain.gain),
        number(gain.range.0),
        number(gain.range.1),
        plural(gain.cores, "core"),
        number(gain.threaded)
    )
}

/// What clocks showed.
fn measured(finding: &Finding) -> Option<String> {
    Some(match finding {
        Finding::SplitIsFaster(gain) => split(gain, "is faster in every round"),
        Finding::SplitIsEven(gain) => split(gain, "is faster in some rounds and slower in others"),
        Finding::SplitIsSlower(gain) => split(gain, "gains nothing"),
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
mod tests;
