//! Who takes part, and whether their answers are right.

use std::cell::RefCell;

use tilelab_kernels::{Context, Isa, Threads};

use super::{Case, What};
use crate::bench::Trouble;
use crate::bench::frameworks::{self, Framework};
use crate::bench::train_step::numbers;
use crate::device::{Batch, Device, DeviceError, ProgramId, Session, Set};
use crate::hessian::closed::{self, Closed, has_closed_form};
use crate::hessian::{Data, Directions, HessianError, Operator, Point, Products, Setup, dense};
use crate::measure::{Contestant, Lineup};
use crate::mlp::Model;
use crate::program::lower::{Lowering, bias_name, weights_name};
use crate::program::{Element, Program, ProgramError, StepArgs, flops, fuse};

/// Largest difference from f64, in shares of the largest element: sums of a hundred products in f32.
const BOUND: f64 = 2e-5;

/// Up to so many parameters, the notebook's number, the double loop takes part: it takes their square in products.
const LOOPED: usize = 100;

/// Numbers of rows, from -1 to 1.
pub(super) fn inputs(count: usize) -> impl Iterator<Item = f32> {
    numbers(count, 1).map(|x| (2.0 * x) as f32)
}

/// A case with its numbers, the same as the frameworks' script has.
pub struct Problem {
    case: Case,
    model: Model,
    directions: Directions,
    values: Vec<f32>,
    labels: Vec<u8>,
    point: Point,
}

impl Problem {
    /// Of this case.
    ///
    /// # Errors
    /// Parameters that the model does not have.
    pub fn of(case: &Case) -> Result<Self, HessianError> {
        let model = case.model();
        let directions = Directions::of(&model, case.of())?;
        let columns = case.layers[0];
        let single = |x: f64| f64::from(x as f32);
        let mut parameters = Vec::new();
        for (l, pair) in (1..).zip(case.layers.windows(2)) {
            let (n, q) = (pair[0], pair[1]);
            let scale = (4.0 / n as f64).sqrt();
            let weights = numbers(n * q, 10 + l as u32).map(|x| single(scale * x));
            parameters.push((weights_name(l), weights.collect()));
            parameters.push((bias_name(l), numbers(q, 20 + l as u32).map(single).collect()));
        }
        let classes = case.layers[case.layers.len() - 1];
        Ok(Self {
            values: inputs(case.rows * columns).collect(),
            labels: (0..case.rows).map(|i| (i * 7 % 11 % classes) as u8).collect(),
            case: case.clone(),
            model,
            directions,
            point: Point::of(parameters),
        })
    }

    fn data(&self) -> Result<Data<'_>, DeviceError> {
        Ok(Data::first(
            Set::of_reals(&self.values, &self.labels, self.case.layers[0])?,
            self.case.rows,
        ))
    }

    fn setup(&self, together: usize, threads: Threads) -> Setup<'_> {
        Setup {
            together,
            threads,
            ..Setup::new(&self.model, &self.directions)
        }
    }

    /// Products in f64 by plain loops: what every answer is checked against.
    fn oracle(&self, vectors: &[f64]) -> Result<Vec<f64>, HessianError> {
        let setup = Setup {
            float: Element::F64,
            ..self.setup(16, Threads::one())
        };
        let mut out = vec![0.0; vectors.len()];
        Products::new(&setup, &self.point, self.data()?)?.multiply(vectors, &mut out)?;
        Ok(out)
    }

    fn units(&self) -> Vec<f64> {
        let n = self.directions.size();
        (0..n * n).map(|at| f64::from(at / n == at % n)).collect()
    }
}

/// Largest difference over its bound; above 1 for NaN and for elements that are missing.
fn error_over_bound(got: &[f64], wanted: &[f64]) -> f64 {
    if got.len() != wanted.len() {
        return f64::INFINITY;
    }
    let top = wanted.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
    let errors = got
        .iter()
        .zip(wanted)
        .map(|(got, wanted)| (got - wanted).abs() / (BOUND * top));
    // NaN, once met, stays.
    errors.fold(
        0.0f64,
        |most, error| if most.is_nan() || error <= most { most } else { error },
    )
}

/// The lineup of a case, ours first, everyone's answer checked.
///
/// # Errors
/// A contestant that can't run the case, in one line.
pub fn lineup<'a>(
    problem: &'a Problem,
    frameworks: &'a [RefCell<Framework>],
    threads: Threads,
    trouble: &'a Trouble,
) -> Result<Lineup<'a>, String> {
    let told = |error: HessianError| error.to_string();
    let case = &problem.case;
    let (work, mut contestants, wanted) = match case.what {
        What::Dense { .. } => dense_case(problem, threads, trouble).map_err(told)?,
        What::Gradient { .. } => gradient_case(problem, threads).map_err(told)?,
        What::Product { .. } => product_case(problem, threads, trouble).map_err(told)?,
        What::Many { together, .. } => many_case(problem, together, threads, trouble).map_err(told)?,
    };
    for framework in frameworks {
        let Some(order) = case.order() else { break };
        let answer = framework.borrow_mut().ask(&order)?;
        let Some(id) = answer["opened"].as_u64() else { continue };
        let values: Vec<f64> = serde_json::from_value(answer["values"].clone())
            .map_err(|error| format!("{}: {error}", framework.borrow().name()))?;
        let error = error_over_bound(&values, &wanted);
        contestants.push(frameworks::contestant(framework, id, error, trouble));
    }
    Ok(Lineup {
        name: case.name(),
        x: problem.directions.size() as f64,
        work,
        contestants,
    })
}

/// Work of a call, contestants, and the answer.
type Field<'a> = (f64, Vec<Contestant<'a>>, Vec<f64>);

fn noted(trouble: &Trouble, done: Result<(), HessianError>) {
    if let Err(error) = done {
        *trouble.borrow_mut() = Some(error.to_string());
    }
}

fn dense_case<'a>(problem: &'a Problem, threads: Threads, trouble: &'a Trouble) -> Result<Field<'a>, HessianError> {
    let n = problem.directions.size();
    let wanted = problem.oracle(&problem.units())?;
    let mut contestants = Vec::new();
    let mut buffer = vec![0.0f32; n * n];
    let wide = |buffer: &[f32]| buffer.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
    let together = n.min(32);
    let mut products = Products::new(&problem.setup(together, threads), &problem.point, problem.data()?)?;
    let (linearise, tangent) = problem.setup(1, threads).programs(problem.case.rows, 1.0)?;
    let by_products =
        flops::of_program(&linearise, problem.case.rows) + n as u64 * flops::of_program(&tangent, problem.case.rows);
    let mut work = by_products as f64;
    if has_closed_form(&problem.model, &problem.directions) {
        let context = Context::new(Isa::selected().map_err(DeviceError::from)?, threads).map_err(DeviceError::from)?;
        let (x, labels) = problem.data()?.values::<f32>();
        let mut closed = Closed::new(&context, &problem.model, &problem.directions, &x, &labels)?;
        work = closed::flops(&problem.model, &problem.directions, problem.case.rows) as f64;
        closed.move_to(&problem.point);
        closed.hessian(&mut buffer);
        let error = error_over_bound(&wide(&buffer), &wanted);
        let mut out = buffer.clone();
        contestants.push(Contestant::new("closed-form", error, move |calls| {
            for _ in 0..calls {
                closed.hessian(&mut out);
            }
            std::hint::black_box(&out);
        }));
    }
    dense::by_products(&mut products, &mut buffer)?;
    let error = error_over_bound(&wide(&buffer), &wanted);
    let mut out = buffer.clone();
    let point = &problem.point;
    contestants.push(Contestant::new("products", error, move |calls| {
        for _ in 0..calls {
            // The point may have moved: each call linearises anew.
            noted(
                trouble,
                products
                    .move_to(point)
                    .and_then(|()| dense::by_products(&mut products, &mut out)),
            );
        }
    }));
    if n <= LOOPED {
        let mut products = Products::new(&problem.setup(1, threads), point, problem.data()?)?;
        let mut out = vec![0.0; n * n];
        double_loop(&mut products, point, &mut out)?;
        let error = error_over_bound(&out, &wanted);
        contestants.push(Contestant::new("double-loop", error, move |calls| {
            for _ in 0..calls {
                noted(trouble, double_loop(&mut products, point, &mut out));
            }
        }));
    }
    Ok((work, contestants, wanted))
}

/// As the notebook does it: for each of two parameters a derivative of a derivative, of which one number is kept.
fn double_loop(products: &mut Products<'_>, point: &Point, out: &mut [f64]) -> Result<(), HessianError> {
    let n = products.size();
    let (mut unit, mut product) = (vec![0.0; n], vec![0.0; n]);
    for i in 0..n {
        unit[i] = 1.0;
        for j in 0..n {
            products.move_to(point)?;
            products.multiply(&unit, &mut product)?;
            out[i * n + j] = product[j];
        }
        unit[i] = 0.0;
    }
    Ok(())
}

/// The plain gradient on a device.
struct Gradient<'a> {
    program: Program,
    session: Box<dyn Session + 'a>,
    set: Set<'a>,
    rows: Vec<u32>,
    args: StepArgs,
}

impl<'a> Gradient<'a> {
    fn new(problem: &'a Problem, device: Device, threads: Threads) -> Result<Self, HessianError> {
        let float = if device == Device::Reference {
            Element::F64
        } else {
            Element::F32
        };
        let (model, rows) = (&problem.model, problem.case.rows);
        let lowering = Lowering {
            model,
            float,
            rows,
            byte_scale: 1.0,
        };
        let plain = lowering.gradients()?;
        let program = if device.wants_fused() { fuse(&plain)? } else { plain };
        let data = problem.data()?;
        let mut session = device.open(std::slice::from_ref(&program), &[data.set], threads)?;
        for (name, values) in problem.point.iter() {
            session.write(name, values)?;
        }
        let args = StepArgs {
            inverse_rows: 1.0 / rows as f64,
            ..StepArgs::default()
        };
        Ok(Self {
            program,
            session,
            set: data.set,
            rows: data.rows,
            args,
        })
    }

    fn run(&mut self) -> Result<(), HessianError> {
        let batch = Batch::of_set(&self.program, &[self.set], 0, &self.rows)?;
        self.session.run(ProgramId(0), &batch, &self.args);
        Ok(())
    }

    fn values(&mut self, directions: &Directions) -> Result<Vec<f64>, HessianError> {
        self.run()?;
        let mut all = Vec::new();
        for part in directions.parts() {
            all.extend(self.session.read(&format!("d{}", part.name))?);
        }
        Ok(all)
    }
}

fn gradient_flops(problem: &Problem) -> Result<f64, ProgramError> {
    let lowering = Lowering {
        model: &problem.model,
        float: Element::F32,
        rows: problem.case.rows,
        byte_scale: 1.0,
    };
    Ok(flops::of_program(&lowering.gradients()?, problem.case.rows) as f64)
}

fn gradient_case(problem: &Problem, threads: Threads) -> Result<Field<'_>, HessianError> {
    let wanted = Gradient::new(problem, Device::Reference, Threads::one())?.values(&problem.directions)?;
    let mut ours = Gradient::new(problem, Device::Cpu, threads)?;
    let error = error_over_bound(&ours.values(&problem.directions)?, &wanted);
    let contestant = Contestant::new("gradient", error, move |calls| {
        for _ in 0..calls {
            if ours.run().is_err() {
                unreachable!("it has run before");
            }
        }
    });
    Ok((gradient_flops(problem)?, vec![contestant], wanted))
}

/// A vector to multiply: a hash of each place.
fn probe(problem: &Problem, count: usize) -> Vec<f64> {
    numbers(problem.directions.size() * count, 99).collect()
}

fn product_case<'a>(problem: &'a Problem, threads: Threads, trouble: &'a Trouble) -> Result<Field<'a>, HessianError> {
    let v = probe(problem, 1);
    let wanted = problem.oracle(&v)?;
    let mut contestants = Vec::new();
    for (name, kept) in [("linearised-and-product", false), ("product", true)] {
        let mut products = Products::new(&problem.setup(1, threads), &problem.point, problem.data()?)?;
        let mut out = vec![0.0; v.len()];
        products.multiply(&v, &mut out)?;
        let error = error_over_bound(&out, &wanted);
        contestants.push(Contestant::new(name, error, move |calls| {
            for _ in 0..calls {
                if !kept {
                    products.forget();
                }
                let done = products
                    .linearise(0, 0)
                    .and_then(|()| products.take_through(0, 0.0, 0.0));
                noted(trouble, done);
            }
        }));
    }
    let mut gradient = Gradient::new(problem, Device::Cpu, threads)?;
    let right = Gradient::new(problem, Device::Reference, Threads::one())?.values(&problem.directions)?;
    let error = error_over_bound(&gradient.values(&problem.directions)?, &right);
    contestants.push(Contestant::new("gradient", error, move |calls| {
        for _ in 0..calls {
            noted(trouble, gradient.run());
        }
    }));
    Ok((gradient_flops(problem)?, contestants, wanted))
}

fn many_case<'a>(
    problem: &'a Problem,
    together: usize,
    threads: Threads,
    trouble: &'a Trouble,
) -> Result<Field<'a>, HessianError> {
    let setup = problem.setup(together, threads);
    let mut products = Products::new(&setup, &problem.point, problem.data()?)?;
    let v = probe(problem, together);
    let mut out = vec![0.0; v.len()];
    products.multiply(&v, &mut out)?;
    // Two of them against f64: all would take the plain loops minutes.
    let n = problem.directions.size();
    let picked = |all: &[f64]| [&all[..n], &all[(together - 1) * n..]].concat();
    let wanted = problem.oracle(&picked(&v))?;
    let error = error_over_bound(&picked(&out), &wanted);
    let (_, tangent) = setup.programs(problem.case.rows, 1.0)?;
    let work = flops::of_program(&tangent, problem.case.rows) as f64;
    let contestant = Contestant::new("products", error, move |calls| {
        for _ in 0..calls {
            noted(trouble, products.take_through(0, 0.0, 0.0));
        }
    });
    Ok((work, vec![contestant], wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::hessian::cases;

    /// Every small case's answers are those of products in f64; wrong, missing and NaN answers are beyond the bound.
    #[test]
    fn answers_are_checked() {
        let trouble = RefCell::new(None);
        for case in cases().into_iter().filter(|case| case.layers[1] <= 10) {
            let problem = Problem::of(&case).unwrap();
            let lineup = lineup(&problem, &[], Threads::one(), &trouble).unwrap();
            for contestant in &lineup.contestants {
                assert!(
                    contestant.error_over_bound() <= 1.0,
                    "{}: {}",
                    lineup.name,
                    contestant.name()
                );
            }
            let wanted = problem.oracle(&probe(&problem, 1)).unwrap();
            for wrong in [1.01, f64::NAN] {
                let mut changed = wanted.clone();
                changed[0] = wrong * wanted.iter().fold(0.0, |top: f64, x| top.max(x.abs()));
                let error = error_over_bound(&changed, &wanted);
                assert!(error > 1.0 || error.is_nan());
            }
            assert!(error_over_bound(&wanted[1..], &wanted) > 1.0);
        }
        assert!(trouble.borrow().is_none());
    }
}
