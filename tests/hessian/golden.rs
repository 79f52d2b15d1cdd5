//! Every case of `tests/golden/hessian.json`, which torch.func.hessian computed in f64, on every device and in both element types.

use serde::Deserialize;
use tilelab::device::Device;
use tilelab::hessian::closed::has_closed_form;
use tilelab::hessian::{Directions, Setup, dense};
use tilelab::mlp::Model;
use tilelab::program::Element;

use crate::support::{Rows, by_products, close, formula, model, point, setup};

#[derive(Deserialize)]
struct Golden {
    rows: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    layers: Vec<usize>,
    activation: String,
    loss: String,
    l2: f64,
    norm: Option<String>,
    learned_beta: bool,
    parameters: usize,
    upper: Vec<f64>,
}

impl Case {
    fn model(&self) -> Model {
        model(&self.layers, &self.activation, &self.loss)
            .with_batch_norm(self.norm.is_some())
            .with_learned_beta(self.learned_beta)
    }

    fn name(&self) -> String {
        format!("{:?} {} {} {:?}", self.layers, self.activation, self.loss, self.norm)
    }

    fn hessian(&self) -> Vec<f64> {
        let n = self.parameters;
        let mut all = vec![0.0; n * n];
        let mut upper = self.upper.iter();
        for i in 0..n {
            for j in i..n {
                let x = *upper.next().unwrap();
                (all[i * n + j], all[j * n + i]) = (x, x);
            }
        }
        all
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/hessian.json")).unwrap()
}

#[test]
fn products_equal_torch() {
    let golden = golden();
    for case in &golden.cases {
        let model = case.model();
        assert_eq!(model.parameters(), case.parameters);
        let (rows, all) = (Rows::new(golden.rows, &model), Directions::of(&model, "all").unwrap());
        let point = point(&model, &formula(&model));
        for device in [Device::Cpu, Device::Baseline, Device::Reference] {
            for (float, tolerance) in [(Element::F64, 1e-12), (Element::F32, 2e-5)] {
                let norm_training = case.norm.as_deref() == Some("batch");
                let setup = Setup {
                    device,
                    float,
                    l2: case.l2,
                    norm_training,
                    ..setup(&model, &all)
                };
                let what = format!("{} {device} {float}", case.name());
                close(&by_products(&setup, &point, &rows), &case.hessian(), tolerance, &what);
            }
        }
    }
}

#[test]
fn the_closed_form_equals_torch() {
    let golden = golden();
    let mut seen = 0;
    for case in &golden.cases {
        let model = case.model();
        let all = Directions::of(&model, "all").unwrap();
        if !has_closed_form(&model, &all) {
            continue;
        }
        seen += 1;
        let (rows, point) = (Rows::new(golden.rows, &model), point(&model, &formula(&model)));
        let setup = Setup {
            l2: case.l2,
            ..setup(&model, &all)
        };
        let (got, method) = dense::dense::<f64>(&setup, &point, rows.data(), None).unwrap();
        assert_eq!(method, dense::Method::ClosedForm);
        close(&got, &case.hessian(), 1e-12, &case.name());
        let single = Setup {
            float: Element::F32,
            ..setup
        };
        let (got, _) = dense::dense::<f32>(&single, &point, rows.data(), None).unwrap();
        let got: Vec<f64> = got.into_iter().map(f64::from).collect();
        close(&got, &case.hessian(), 1e-5, &format!("{} f32", case.name()));
    }
    assert!(seen >= 5, "{seen} cases have a closed form");
}
