//! Activations, softmax, losses and updates on a card, beside a copy of the same bytes.

use tilelab_kernels::Activation;
use tilelab_kernels::cuda::{Call, CallError, CudaError, elementwise, probe, softmax};

use super::{Track, launched};
use crate::bench::Trouble;
use crate::bench::elementwise::{ADAM, Function, Input, MOMENTUM, Rule, SGD, state};
use crate::measure::{COPY, Lineup};

/// The case of `function` on `input`: ours, and a copy.
///
/// # Errors
/// Of the driver, such as too little memory; one line.
pub fn lineup<'a>(
    track: &'a mut Track,
    function: Function,
    input: &Input,
    trouble: &'a Trouble,
) -> Result<Lineup<'a>, String> {
    let told = |error: CudaError| error.to_string();
    let place = &mut track.workspace;
    let shape = (input.rows, input.cols);
    let x = place.floats(&input.x).map_err(told)?;
    let [y, copied] = [place.room(input.len()), place.room(input.len())];
    let (y, copied) = (y.map_err(told)?, copied.map_err(told)?);
    let call = match function {
        Function::Activate(f) => {
            let parameter = match f {
                Activation::Swish { beta } => beta as f32,
                _ => 0.0,
            };
            elementwise::activate(f, place.floats(&[parameter]).map_err(told)?, x, y)
        }
        Function::Softmax => softmax::softmax(x, y, shape),
        Function::LogSoftmax => softmax::log_softmax(x, y, shape),
        Function::CrossEntropy => {
            let labels = place.put(&input.labels, u8::to_le_bytes).map_err(told)?;
            let losses = place.room(input.rows).map_err(told)?;
            let scale = place.floats(&[1.0 / input.rows as f32]).map_err(told)?;
            softmax::softmax_cross_entropy(x, labels, 0.0, losses, Some((scale, y)))
        }
    };
    let copy = probe::stream(probe::Stream::Copy(x, copied));

    let track = &*track;
    let mut contestants = Vec::new();
    for (name, call, out) in [(function.name(), call, y), (COPY, copy, copied)] {
        let work = launched(vec![made(call)?]);
        work(track.stream())?;
        let got = track.workspace.get(out).map_err(told)?;
        let error = match name {
            COPY if got == input.x => 0.0,
            COPY => f64::NAN,
            _ => function.error_of_sample(input, &got),
        };
        contestants.push(track.contestant(name, error, trouble, work));
    }
    Ok(Lineup {
        name: format!("{} {}x{}", function.name(), input.rows, input.cols),
        x: input.len() as f64,
        work: 8.0 * input.len() as f64,
        contestants,
    })
}

/// The case of an update of `gradient.len()` parameters: ours, and a copy that moves as many bytes.
///
/// # Errors
/// As [`lineup`].
pub fn update<'a>(
    track: &'a mut Track,
    rule: Rule,
    gradient: &Input,
    trouble: &'a Trouble,
) -> Result<Lineup<'a>, String> {
    let told = |error: CudaError| error.to_string();
    let place = &mut track.workspace;
    let [w, a, b] = state(&gradient.x);
    let (g, w) = (
        place.floats(&gradient.x).map_err(told)?,
        place.floats(&w).map_err(told)?,
    );
    let (a, b) = (place.floats(&a).map_err(told)?, place.floats(&b).map_err(told)?);
    let call = match rule {
        Rule::Sgd => {
            let (decay, lr) = (place.floats(&SGD[..1]), place.floats(&SGD[1..]));
            elementwise::sgd(decay.map_err(told)?, lr.map_err(told)?, g, w)
        }
        Rule::Momentum => {
            let rule = place.floats(&elementwise::momentum_rule(MOMENTUM)).map_err(told)?;
            elementwise::momentum(rule, MOMENTUM.nesterov, g, w, a)
        }
        Rule::Adam => {
            let rule = place.floats(&elementwise::adam_rule(ADAM)).map_err(told)?;
            elementwise::adam(rule, g, w, (a, b))
        }
    };
    // A copy reads and writes; half of what the update moves is a multiple of 4 floats short of nothing.
    let half = (rule.moved() * gradient.len() / 2).next_multiple_of(4);
    let [from, to] = [place.room(half), place.room(half)];
    let copy = probe::stream(probe::Stream::Copy(from.map_err(told)?, to.map_err(told)?));

    let track = &*track;
    let mut contestants = Vec::new();
    for (name, call) in [(rule.name(), call), (COPY, copy)] {
        let work = launched(vec![made(call)?]);
        let error = if name == COPY {
            0.0
        } else {
            work(track.stream())?;
            rule.error_over_bound(&gradient.x, &track.workspace.get(w).map_err(told)?)
        };
        contestants.push(track.contestant(name, error, trouble, work));
    }
    Ok(Lineup {
        name: format!("{} {}", rule.name(), gradient.len()),
        x: gradient.len() as f64,
        work: (4 * rule.moved() * gradient.len()) as f64,
        contestants,
    })
}

fn made(call: Result<Call, CallError>) -> Result<Call, String> {
    call.map_err(|error| error.to_string())
}
